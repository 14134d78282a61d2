package vsphere

import (
	"path"
	"strings"
)

// vSphere stores '/', '\' and '%' in names as %2f, %5c and %25. As govc does, a
// path shows names as they are stored, so that '/' always separates; a VM's
// Name is decoded, for people.
var (
	decoder   = strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", `\`, "%5C", `\`, "%25", "%")
	canonical = strings.NewReplacer("%2F", "%2f", "%5C", "%5c")
)

// matches tells whether pattern names the entry: its MoRef, its instance UUID,
// its name (decoded or as stored, globs allowed), its inventory path from the
// root, or its path below the vm folder of its datacenter (globs allowed; '*'
// does not cross a '/').
func (e *entry) matches(pattern string) bool {
	if pattern == e.ref.Value || strings.EqualFold(pattern, e.uuid) && e.uuid != "" {
		return true
	}
	if pattern == e.name {
		return true
	}
	pattern = canonical.Replace(pattern)
	for _, candidate := range []string{e.path, e.below, e.stored, e.name} {
		if pattern == candidate {
			return true
		}
		if ok, err := path.Match(pattern, candidate); err == nil && ok {
			return true
		}
	}
	return false
}

// resembles tells whether somebody who typed ref may have meant the entry: the
// last element of ref is part of its name, or differs in at most two letters.
func (e *entry) resembles(ref string) bool {
	want := strings.ToLower(decoder.Replace(path.Base(ref)))
	have := strings.ToLower(e.name)
	if len(want) < 3 {
		return false
	}
	return strings.Contains(have, want) || distance(want, have, 2) <= 2
}

// distance is the Levenshtein distance of two names in bytes; above limit it
// may return any greater number.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
