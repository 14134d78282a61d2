package ova

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strings"
)

// maxManifest bounds a manifest in bytes.
const maxManifest = 1 << 20

// algorithm is a digest that a manifest line may name.
type algorithm struct {
	size int              // of the digest, in bytes
	new  func() hash.Hash // nil: read, but proves nothing any more
}

// algorithms are those of the manifests in the field. SHA1 can be forged, so
// that its lines are read but never taken as proof.
var algorithms = map[string]algorithm{
	"SHA1":   {20, nil},
	"SHA256": {sha256.Size, sha256.New},
	"SHA512": {sha512.Size, sha512.New},
}

// sum is a line of a manifest.
type sum struct {
	algorithm string // a key of algorithms
	digest    []byte
}

// formatManifest writes the manifest (DSP0243 §5.2) exactly as vSphere and
// virt-v2v want it: no blank before the bracket, one after the equals sign,
// lower-case hex.
func formatManifest(files []File) []byte {
	var b bytes.Buffer
	for _, f := range files {
		b.WriteString("SHA256(" + f.Name + ")= " + f.SHA256 + "\n")
	}
	return b.Bytes()
}

// parseManifest reads a manifest: file name to sum. White space, line ends and
// the case of the hex digits are free; a line that is no sum, a name that is
// not plain and a name that comes twice are refused. Kind Corrupt.
func parseManifest(data []byte) (map[string]sum, error) {
	if len(data) > maxManifest {
		return nil, corrupt(codeManifest, "the manifest is longer than %d bytes", maxManifest)
	}
	sums := map[string]sum{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, s, ok := parseSum(line)
		if !ok {
			return nil, corrupt(codeManifest, "the manifest has the line %.100q, which is not like \"SHA256(name)= hex\"", line)
		}
		if !plainName(name) {
			return nil, unexpected("the manifest names %.100q, which is not a plain file name", name)
		}
		if _, twice := sums[name]; twice {
			return nil, corrupt(codeManifest, "the manifest names %.100q twice", name)
		}
		if len(sums) == maxMembers {
			return nil, corrupt(codeManifest, "the manifest names more than %d files", maxMembers)
		}
		sums[name] = s
	}
	return sums, nil
}

// parseSum reads "SHA256(name)= hex". The name may hold brackets: it ends at
// the last one.
func parseSum(line string) (name string, s sum, ok bool) {
	left, hexSum, found := cutLast(line, ")")
	alg, name, opened := strings.Cut(left, "(")
	if !found || !opened {
		return "", sum{}, false
	}
	hexSum, equals := strings.CutPrefix(strings.TrimSpace(hexSum), "=")
	alg = strings.TrimSpace(alg)
	known, ok := algorithms[alg]
	if !equals || !ok {
		return "", sum{}, false
	}
	digest, err := hex.DecodeString(strings.TrimSpace(hexSum))
	if err != nil || len(digest) != known.size {
		return "", sum{}, false
	}
	return name, sum{algorithm: alg, digest: digest}, true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
