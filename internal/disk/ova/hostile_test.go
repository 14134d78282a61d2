package ova

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// entry is a member of a crafted archive.
type entry struct {
	h    tar.Header
	data string
}

func file(name, data string) entry {
	return entry{h: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Format: tar.FormatGNU}, data: data}
}

// envelopeXML is a small descriptor; refs and disks are its elements.
func envelopeXML(refs, disks string) string {
	return `<Envelope xmlns="` + nsOVF + `" xmlns:ovf="` + nsOVF + `"><References>` + refs + `</References><DiskSection><Info/>` + disks +
		`</DiskSection><VirtualSystem ovf:id="x"><Name>crafted</Name></VirtualSystem></Envelope>`
}

const (
	oneRef  = `<File ovf:href="d.vmdk" ovf:id="f" ovf:size="4"/>`
	oneDisk = `<Disk ovf:capacity="1" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="d" ovf:fileRef="f"/>`
)

func manifestFor(entries ...entry) entry {
	var files []File
	for _, e := range entries {
		files = append(files, fileOf(e.h.Name, []byte(e.data)))
	}
	return file("x.mf", string(formatManifest(files)))
}

// sane is a package that is accepted; the hostile ones each change one thing.
func sane() []entry {
	ovf, disk := file("x.ovf", envelopeXML(oneRef, oneDisk)), file("d.vmdk", "disk")
	return []entry{ovf, disk, manifestFor(ovf, disk)}
}

func pack(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.h.Size == 0 {
			e.h.Size = int64(len(e.data))
		}
		must(t, w.WriteHeader(&e.h))
		_, _ = w.Write([]byte(e.data))
	}
	_ = w.Close()
	return b.Bytes()
}

// change makes a copy of the sane package with one member replaced.
func change(i int, f func(*entry)) []entry {
	all := sane()
	f(&all[i])
	return all
}

func with(descriptor string) []entry {
	return change(0, func(e *entry) { e.data = descriptor })
}

func plus(e entry) []entry { return append(sane(), e) }

// setSize patches the size field of the header at off and its checksum.
func setSize(b []byte, off int, field string) []byte {
	copy(b[off+124:off+136], field)
	copy(b[off+148:], "        ")
	total := 0
	for _, c := range b[off : off+tarBlock] {
		total += int(c)
	}
	copy(b[off+148:], fmt.Sprintf("%06o\x00 ", total))
	return b
}

func nest(depth int) string {
	return `<Envelope xmlns="` + nsOVF + `">` + strings.Repeat("<a>", depth) + strings.Repeat("</a>", depth) + `<VirtualSystem/></Envelope>`
}

func crafted(t testing.TB) map[string]struct {
	data []byte
	kind fault.Kind
	code string
} {
	type want = struct {
		data []byte
		kind fault.Kind
		code string
	}
	p := func(e []entry) []byte { return pack(t, e) }
	good := p(sane())
	diskHeader := tarBlock + int(roundUp(int64(len(sane()[0].data))))
	end := len(good) - tarTrailer
	many := sane()
	for i := range maxMembers {
		many = append(many, file(fmt.Sprint("n", i), ""))
	}
	evil := func(name string) []entry { return plus(file(name, "x")) }
	typed := func(flag byte, link string) []entry {
		return plus(entry{h: tar.Header{Typeflag: flag, Name: "l", Linkname: link, Format: tar.FormatGNU}})
	}
	c, u := fault.Corrupt, fault.Unprocessable
	return map[string]want{
		// The archive.
		"empty":               {nil, c, codeTar},
		"garbage":             {noise(1, 4096), c, codeTar},
		"only an end mark":    {make([]byte, 1024), c, codeTar},
		"half a header":       {good[:300], c, codeTar},
		"cut in a member":     {good[:diskHeader+tarBlock+2], c, codeTar},
		"cut before end mark": {good[:end], c, codeTar},
		"half an end mark":    {good[:end+512], c, codeTar},
		"hidden tail":         {append(bytes.Clone(good), noise(2, 512)...), c, codeMember},
		"second archive":      {append(bytes.Clone(good), good...), c, codeMember},
		"endless tail":        {append(bytes.Clone(good), make([]byte, maxTrailer)...), c, codeMember},
		"broken checksum":     {func() []byte { b := bytes.Clone(good); b[diskHeader+148] ^= 1; return b }(), c, codeTar},
		"size beyond the end": {setSize(bytes.Clone(good), diskHeader, "00000100000\x00"), c, codeTar},
		"size 8 EiB":          {setSize(bytes.Clone(good), diskHeader, "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), c, codeTar},
		"size negative":       {setSize(bytes.Clone(good), diskHeader, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), c, codeTar},
		"size no number":      {setSize(bytes.Clone(good), diskHeader, "zzzzzzzzzzz\x00"), c, codeTar},
		"too many members":    {p(many), c, codeMember},
		"two of a name":       {p(evil("d.vmdk")), c, codeMember},
		"descriptor second":   {p([]entry{sane()[1], sane()[0]}), c, codeMember},
		"two descriptors":     {p(evil("y.ovf")), c, codeMember},
		"no descriptor":       {p(sane()[1:2]), c, codeMember},
		"not listed":          {p(evil("extra.iso")), c, codeMember},
		"foreign manifest":    {p(evil("y.mf")), c, codeMember},
		"path":                {p(evil("../../etc/cron.d/x")), c, codeMember},
		"absolute path":       {p(evil("/etc/passwd")), c, codeMember},
		"folder":              {p(evil("a/b")), c, codeMember},
		"dot":                 {p(evil("./d2.vmdk")), c, codeMember},
		"backslash":           {p(evil(`..\x`)), c, codeMember},
		"drive":               {p(evil("C:x")), c, codeMember},
		"control character":   {p(evil("a\nb")), c, codeMember},
		"no UTF-8":            {p(evil("a\xffb")), c, codeMember},
		"long name":           {p(evil(strings.Repeat("n", 300))), c, codeMember},
		"symlink":             {p(typed(tar.TypeSymlink, "/etc/passwd")), c, codeMember},
		"hard link":           {p(typed(tar.TypeLink, "x.ovf")), c, codeMember},
		"directory":           {p(plus(entry{h: tar.Header{Typeflag: tar.TypeDir, Name: "l/", Format: tar.FormatGNU}})), c, codeMember},
		"device":              {p(typed(tar.TypeBlock, "")), c, codeMember},
		"named pipe":          {p(typed(tar.TypeFifo, "")), c, codeMember},
		"PAX header":          {p(plus(entry{h: tar.Header{Typeflag: tar.TypeReg, Name: "l", Format: tar.FormatPAX, PAXRecords: map[string]string{"VENDOR.x": "y"}}})), u, codeForeign},
		"global PAX header":   {p(plus(entry{h: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"size": "99999999"}}})), u, codeForeign},
		"GNU sparse":          {sparse(good, diskHeader), c, codeMember},
		"long descriptor":     {p(with(strings.Repeat(" ", maxDescriptor+1))), c, codeMember},
		"long manifest":       {p(change(2, func(e *entry) { e.data = strings.Repeat("\n", maxManifest+1) })), c, codeMember},
		// The descriptor.
		"no XML":               {p(with("hello")), c, codeXML},
		"empty descriptor":     {p(with(" ")), c, codeXML},
		"cut XML":              {p(with(envelopeXML("", "")[:100])), c, codeXML},
		"two roots":            {p(with(envelopeXML("", "") + envelopeXML("", ""))), c, codeXML},
		"text behind the root": {p(with(envelopeXML("", "") + "x")), c, codeXML},
		"wrong root":           {p(with(`<html xmlns="` + nsOVF + `"/>`)), c, codeXML},
		"wrong namespace":      {p(with(`<Envelope xmlns="http://example.org/"/>`)), c, codeXML},
		"document type":        {p(with(`<!DOCTYPE Envelope SYSTEM "file:///etc/passwd">` + envelopeXML("", ""))), c, codeXML},
		"entity bomb":          {p(with(`<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + envelopeXML("&b;", ""))), c, codeXML},
		"unknown entity":       {p(with(envelopeXML("&xxe;", ""))), c, codeXML},
		"foreign charset":      {p(with(`<?xml version="1.0" encoding="UTF-7"?>` + envelopeXML("", ""))), c, codeXML},
		"deep":                 {p(with(nest(64))), c, codeXML},
		"no machine":           {p(with(`<Envelope xmlns="` + nsOVF + `"/>`)), c, codeXML},
		"two machines":         {p(with(`<Envelope xmlns="` + nsOVF + `"><VirtualSystem/><VirtualSystem/></Envelope>`)), u, codeForeign},
		"collection":           {p(with(`<Envelope xmlns="` + nsOVF + `"><VirtualSystemCollection/></Envelope>`)), u, codeForeign},
		"href with path":       {p(with(envelopeXML(`<File ovf:href="../d.vmdk" ovf:id="f"/>`, ""))), c, codeMember},
		"href is a file URL":   {p(with(envelopeXML(`<File ovf:href="file:///etc/passwd" ovf:id="f"/>`, ""))), c, codeMember},
		"href is a web URL":    {p(with(envelopeXML(`<File ovf:href="http://169.254.169.254/latest" ovf:id="f"/>`, ""))), c, codeMember},
		"href empty":           {p(with(envelopeXML(`<File ovf:id="f"/>`, ""))), c, codeMember},
		"href unqualified":     {p(with(envelopeXML(`<File href="d.vmdk" id="f"/>`, ""))), c, codeMember},
		"file missing":         {p(with(envelopeXML(oneRef+`<File ovf:href="e.vmdk" ovf:id="g"/>`, oneDisk))), c, codeMissing},
		"file of another size": {p(with(envelopeXML(`<File ovf:href="d.vmdk" ovf:id="f" ovf:size="5"/>`, oneDisk))), c, codeMissing},
		"size not a number":    {p(with(envelopeXML(`<File ovf:href="d.vmdk" ovf:id="f" ovf:size="-4"/>`, oneDisk))), c, codeXML},
		"file twice":           {p(with(envelopeXML(oneRef+`<File ovf:href="d.vmdk" ovf:id="g"/>`, oneDisk))), c, codeXML},
		"id twice":             {p(with(envelopeXML(oneRef+`<File ovf:href="e.vmdk" ovf:id="f"/>`, oneDisk))), c, codeXML},
		"attribute twice":      {p(with(envelopeXML(`<File ovf:href="d.vmdk" xmlns:o="`+nsOVF+`" o:href="e.vmdk" ovf:id="f"/>`, oneDisk))), c, codeXML},
		"too many files":       {p(with(envelopeXML(repeat(65, `<File ovf:href="d%d" ovf:id="f%[1]d"/>`), ""))), c, codeXML},
		"too many disks":       {p(with(envelopeXML(oneRef, repeat(65, `<Disk ovf:capacity="1" ovf:diskId="d%d"/>`)))), c, codeXML},
		"compressed":           {p(with(envelopeXML(`<File ovf:href="d.vmdk" ovf:id="f" ovf:compression="gzip"/>`, oneDisk))), u, codeForeign},
		"in pieces":            {p(with(envelopeXML(`<File ovf:href="d.vmdk" ovf:id="f" ovf:chunkSize="2"/>`, oneDisk))), u, codeForeign},
		"delta disk":           {p(with(envelopeXML(oneRef, `<Disk ovf:capacity="1" ovf:diskId="d" ovf:fileRef="f" ovf:parentRef="e"/>`))), u, codeForeign},
		"open capacity":        {p(with(envelopeXML(oneRef, `<Disk ovf:capacity="${size}" ovf:diskId="d" ovf:fileRef="f"/>`))), u, codeForeign},
		"capacity overflows":   {p(with(envelopeXML(oneRef, `<Disk ovf:capacity="9" ovf:capacityAllocationUnits="byte * 2^62" ovf:diskId="d" ovf:fileRef="f"/>`))), c, codeXML},
		"capacity negative":    {p(with(envelopeXML(oneRef, `<Disk ovf:capacity="-1" ovf:diskId="d" ovf:fileRef="f"/>`))), c, codeXML},
		"unit unknown":         {p(with(envelopeXML(oneRef, `<Disk ovf:capacity="1" ovf:capacityAllocationUnits="furlong" ovf:diskId="d" ovf:fileRef="f"/>`))), c, codeXML},
		"disk twice":           {p(with(envelopeXML(oneRef, oneDisk+oneDisk))), c, codeXML},
		"disk of no file":      {p(with(envelopeXML(oneRef, `<Disk ovf:capacity="1" ovf:diskId="d" ovf:fileRef="nothing"/>`))), c, codeXML},
		// The manifest.
		"manifest with prose": {p(change(2, func(e *entry) { e.data += "hello\n" })), c, codeManifest},
		"manifest twice":      {p(change(2, func(e *entry) { e.data += e.data })), c, codeManifest},
		"manifest with path":  {p(change(2, func(e *entry) { e.data = "SHA256(../x)= " + strings.Repeat("0", 64) })), c, codeMember},
	}
}

func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// sparse turns a member into an old GNU sparse one.
func sparse(archive []byte, header int) []byte {
	b := bytes.Clone(archive)
	b[header+156] = tar.TypeGNUSparse
	copy(b[header+257:], "ustar  \x00")
	copy(b[header+386:], "00000000000\x0000000000004\x00") // one piece: offset, length
	copy(b[header+482:], "\x0000100000000\x00")            // no more; real size
	return setSize(b, header, "00000000004\x00")
}

// TestHostileArchives refuses each crafted archive for its own reason.
func TestHostileArchives(t *testing.T) {
	all := crafted(t)
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			p, err := OpenOVA(bytes.NewReader(c.data), int64(len(c.data)))
			wantFault(t, err, c.kind, c.code)
			if p != nil {
				t.Error("a package came back")
			}
		})
	}
	t.Logf("%d archives", len(all))
	good := pack(t, sane())
	p := must1(OpenOVA(bytes.NewReader(good), int64(len(good))))(t)
	must(t, p.Verify(t.Context()))
	if p.Name != "crafted" || len(p.Disks) != 1 || p.Disks[0].Capacity != 1<<20 || p.Disks[0].Content.Size() != 4 {
		t.Errorf("%+v", p)
	}
}

// TestAccepts lists what other programs legally write.
func TestAccepts(t *testing.T) {
	upper := sane()
	upper[0].h.Name = "X.OVF"
	upper[2] = manifestFor(upper[0], upper[1])
	upper[2].h.Name = "X.mf"
	signed := sane()
	signed = []entry{signed[0], signed[2], file("x.cert", "…"), signed[1]}
	bom := with("\ufeff" + envelopeXML(oneRef, oneDisk))
	bom[2] = manifestFor(bom[0], bom[1])
	cases := map[string][]entry{
		"manifest second, certificate": signed,
		"capitals":                     upper,
		"byte order mark":              bom,
		"no manifest":                  sane()[:2],
		"OVF 2":                        with(strings.ReplaceAll(envelopeXML(oneRef, oneDisk), nsOVF, nsOVF2))[:2],
		"no size":                      with(envelopeXML(`<File ovf:href="d.vmdk" ovf:id="f"/>`, oneDisk))[:2],
		"disk without file":            with(envelopeXML(oneRef, oneDisk+`<Disk ovf:capacity="5" ovf:diskId="e"/>`))[:2],
		"identity compression":         with(envelopeXML(`<File ovf:href="d.vmdk" ovf:id="f" ovf:compression="identity"/>`, oneDisk))[:2],
		"deep enough":                  with(strings.Replace(nest(maxDepth-1), "<VirtualSystem", "<References>"+oneRefNS()+"</References><VirtualSystem", 1))[:2],
	}
	for name, entries := range cases {
		data := pack(t, entries)
		p, err := OpenOVA(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Errorf("%s: %s", name, fault.Detail(err))
			continue
		}
		if p.Manifest {
			must(t, p.Verify(t.Context()))
		}
	}
}

func oneRefNS() string { return strings.Replace(oneRef, "<File", `<File xmlns:ovf="`+nsOVF+`"`, 1) }

// TestVerify finds each changed byte, and manifests that do not fit.
func TestVerify(t *testing.T) {
	open := func(entries []entry) *Package {
		data := pack(t, entries)
		return must1(OpenOVA(bytes.NewReader(data), int64(len(data))))(t)
	}
	must(t, open(sane()).Verify(t.Context()))
	for i := range 2 {
		wrong := change(i, func(e *entry) { e.data = e.data[:len(e.data)-1] + "\n" })
		if i == 0 {
			wrong = change(0, func(e *entry) { e.data += "\n" })
		}
		wantFault(t, open(wrong).Verify(t.Context()), fault.Corrupt, codeChecksum)
	}
	cases := map[string]struct {
		manifest string
		kind     fault.Kind
		code     string
	}{
		"nothing":       {"", fault.Corrupt, codeManifest},
		"one missing":   {string(formatManifest([]File{fileOf("d.vmdk", []byte("disk"))})), fault.Corrupt, codeManifest},
		"one too many":  {sane()[2].data + "SHA256(ghost)= " + strings.Repeat("0", 64), fault.Corrupt, codeManifest},
		"covers itself": {sane()[2].data + "SHA256(x.mf)= " + strings.Repeat("0", 64), fault.Corrupt, codeManifest},
		"SHA-1":         {"SHA1(x.ovf)= " + strings.Repeat("0", 40) + "\nSHA1(d.vmdk)= " + strings.Repeat("0", 40), fault.Unprocessable, codeNoProof},
		"other digest":  {strings.Replace(sane()[2].data, "d.vmdk)= ", "d.vmdk)= "+strings.Repeat("0", 64)+"\n#", 1), fault.Corrupt, codeManifest},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			data := pack(t, change(2, func(e *entry) { e.data = c.manifest }))
			p, err := OpenOVA(bytes.NewReader(data), int64(len(data)))
			if err == nil {
				err = p.Verify(t.Context())
			}
			wantFault(t, err, c.kind, c.code)
		})
	}
	wantFault(t, open(sane()[:2]).Verify(t.Context()), fault.Unprocessable, codeNoProof)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := open(sane()).Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancel: %v", err)
	}
}

// flaky is an archive that cannot be read from a byte on.
type flaky struct {
	data []byte
	from int64
}

func (f flaky) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(f.data).ReadAt(p, off)
	if off+int64(n) > f.from {
		return 0, errDisk
	}
	return n, err
}

// TestReadErrors: wherever reading fails, the archive is not called damaged.
func TestReadErrors(t *testing.T) {
	data := pack(t, sane())
	for from := range int64(len(data)) {
		p, err := OpenOVA(flaky{data, from}, int64(len(data)))
		if err == nil {
			err = p.Verify(t.Context())
		}
		if !errors.Is(err, errDisk) || fault.KindOf(err) != fault.Internal {
			t.Fatalf("byte %d: %v: %v", from, fault.KindOf(err), err)
		}
	}
}

// TestVerifyFindsEveryFlip flips each byte of a small archive in turn (of the
// long descriptor every seventh): either it does not open, or Verify fails, or
// nothing that is content changed.
func TestVerifyFindsEveryFlip(t *testing.T) {
	obj := &memory{left: -1}
	w := must1(NewWriter(obj, testMachine(1)))(t)
	writeDisks(t, w, [][]byte{noise(1, 600)})
	files := must1(w.Finish(t.Context(), noise(2, 100)))(t)
	before := obj.data
	missed := 0
	for i := range before {
		if int64(i) > 2*tarBlock && int64(i) < w.slot && i%7 != 0 {
			continue
		}
		data := bytes.Clone(before)
		data[i] ^= 0x10
		p, err := OpenOVA(bytes.NewReader(data), int64(len(data)))
		if err == nil {
			err = p.Verify(t.Context())
		}
		if err != nil {
			continue
		}
		missed++ // padding or a header field without meaning
		for j, m := range p.Files[:len(files)] {
			content := make([]byte, m.Content.Size())
			_, _ = m.Content.ReadAt(content, 0)
			if fileOf(m.Name, content) != files[j] {
				t.Fatalf("byte %d: %s changed unnoticed", i, m.Name)
			}
		}
	}
	t.Logf("%d bytes, %d without meaning", len(before), missed)
}

func TestManifest(t *testing.T) {
	digest := strings.Repeat("0123456789abcdef", 4)
	good := map[string]string{
		"exact":         "SHA256(a)= " + digest + "\n",
		"no line end":   "SHA256(a)= " + digest,
		"CRLF":          "SHA256(a)= " + digest + "\r\n\r\n",
		"blanks":        "SHA256 (a) = " + digest + "  \n",
		"no blank":      "SHA256(a)=" + digest,
		"capitals":      "SHA256(a)= " + strings.ToUpper(digest),
		"tab":           "SHA256\t(a)\t=\t" + digest,
		"SHA-512":       "SHA512(a)= " + digest + digest,
		"SHA-1":         "SHA1(a)= " + digest[:40],
		"bracket":       "SHA256(a)(b)= " + digest,
		"unicode, dots": "SHA256(Söhne 1..2.vmdk)= " + digest,
	}
	for name, text := range good {
		if sums, err := parseManifest([]byte(text)); err != nil || len(sums) != 1 {
			t.Errorf("%s: %v %v", name, sums, err)
		}
	}
	names := must1(parseManifest([]byte(good["bracket"])))(t)
	if _, ok := names["a)(b"]; !ok {
		t.Errorf("%v", names)
	}
	bad := map[string]string{
		"prose": "hello", "MD5": "MD5(a)= " + digest[:32], "short": "SHA256(a)= " + digest[:62], "long": "SHA256(a)= " + digest + "00",
		"odd": "SHA256(a)= " + digest[:63], "no hex": "SHA256(a)= " + digest[:62] + "zz", "no equals": "SHA256(a) " + digest,
		"no bracket": "SHA256 a = " + digest, "SHA2-256": "SHA2-256(a)= " + digest, "lower case": "sha256(a)= " + digest,
		"twice": good["exact"] + good["exact"], "twice, two algorithms": good["exact"] + good["SHA-512"],
		"many": repeat(maxMembers+1, "SHA256(a%d)= "+digest+"\n"), "length": strings.Repeat(" ", maxManifest+1),
	}
	for name, text := range bad {
		_, err := parseManifest([]byte(text))
		if fault.As(err) == nil || fault.As(err).Code != codeManifest {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "..", "a/b", "/a", `a\b`, "a:b"} {
		_, err := parseManifest([]byte("SHA256(" + name + ")= " + digest))
		if fault.As(err) == nil || fault.As(err).Code != codeMember {
			t.Errorf("name %q: %v", name, err)
		}
	}
	raw, _ := hex.DecodeString(digest)
	files := []File{{Name: "b", SHA256: digest}, {Name: "a", SHA256: digest}}
	if got := string(formatManifest(files)); got != "SHA256(b)= "+digest+"\nSHA256(a)= "+digest+"\n" {
		t.Errorf("written as %q", got)
	}
	if s := must1(parseManifest(formatManifest(files)))(t)["a"]; s.algorithm != "SHA256" || !bytes.Equal(s.digest, raw) {
		t.Errorf("%+v", s)
	}
}
