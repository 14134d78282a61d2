package ova

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// The bounds of a descriptor that is read.
const (
	maxDescriptor = 4 << 20 // bytes
	maxDepth      = 64      // nested elements
	maxName       = 255     // bytes of a file name
)

// envelope is what a reader needs of a descriptor.
type envelope struct {
	name  string
	files []fileRef
	disks []diskRef
}

// fileRef is an element of References.
type fileRef struct {
	id, href string
	size     int64 // -1: not said
}

// diskRef is an element of DiskSection.
type diskRef struct {
	id, fileRef string // fileRef is empty for a disk without content
	capacity    int64  // bytes
}

// file finds the file of a disk.
func (e *envelope) file(id string) *fileRef {
	for i := range e.files {
		if e.files[i].id == id {
			return &e.files[i]
		}
	}
	return nil
}

// envelopeParser walks the tokens of a descriptor. It follows nothing that
// points outside: no document type, no entities, no schema.
type envelopeParser struct {
	dec     *xml.Decoder
	ns      string   // OVF 1.x or 2.x, as the root says
	path    []string // local names; "" for an element of another namespace
	systems int
	rooted  bool
	id      string // of the VirtualSystem
	name    strings.Builder
	env     envelope
}

// parseDescriptor reads an OVF 1.x or 2.x descriptor of one virtual machine.
// Kind Corrupt: it is not well-formed or breaks a bound. Kind Unprocessable: it
// is legal, but of a kind that is not supported.
func parseDescriptor(data []byte) (*envelope, error) {
	if len(data) > maxDescriptor {
		return nil, corrupt(codeXML, "the descriptor is longer than %d bytes", maxDescriptor)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	p := &envelopeParser{dec: xml.NewDecoder(bytes.NewReader(data))}
	for {
		token, err := p.dec.Token()
		if errors.Is(err, io.EOF) {
			return p.finish()
		}
		if err != nil {
			return nil, fault.Wrap(err, fault.Corrupt, codeXML, "the descriptor is not well-formed XML: "+err.Error(), fixDamaged)
		}
		if err := p.take(token); err != nil {
			return nil, err
		}
	}
}

func (p *envelopeParser) take(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		return p.start(t)
	case xml.EndElement:
		p.path = p.path[:len(p.path)-1]
	case xml.CharData:
		return p.text(t)
	case xml.Directive:
		return corrupt(codeXML, "the descriptor has a document type declaration")
	}
	return nil
}

func (p *envelopeParser) start(t xml.StartElement) error {
	if len(p.path) == maxDepth {
		return corrupt(codeXML, "the descriptor nests more than %d elements", maxDepth)
	}
	if len(p.path) == 0 {
		if err := p.root(t.Name); err != nil {
			return err
		}
	}
	local := t.Name.Local
	if t.Name.Space != p.ns {
		local = ""
	}
	p.path = append(p.path, local)
	if len(p.path) > 3 {
		return nil
	}
	switch strings.Join(p.path, "/") {
	case "Envelope/References/File":
		return p.file(t.Attr)
	case "Envelope/DiskSection/Disk":
		return p.disk(t.Attr)
	case "Envelope/VirtualSystem":
		return p.system(t.Attr)
	case "Envelope/VirtualSystemCollection":
		return foreign("the package holds a collection of virtual machines")
	}
	return nil
}

func (p *envelopeParser) root(name xml.Name) error {
	if p.rooted || name.Local != "Envelope" || name.Space != nsOVF && name.Space != nsOVF2 {
		return corrupt(codeXML, "the descriptor is no OVF envelope: it has the root <%.100s> of %.100q", name.Local, name.Space)
	}
	p.rooted, p.ns = true, name.Space
	return nil
}

func (p *envelopeParser) text(t xml.CharData) error {
	if len(p.path) == 0 && len(bytes.TrimSpace(t)) > 0 {
		return corrupt(codeXML, "the descriptor has text outside of its root")
	}
	if len(p.path) == 3 && strings.Join(p.path, "/") == "Envelope/VirtualSystem/Name" {
		p.name.Write(t)
	}
	return nil
}

// attrs collects the attributes of the OVF namespace. One that comes twice is
// refused: readers differ in which they take.
func (p *envelopeParser) attrs(list []xml.Attr) (map[string]string, error) {
	m := make(map[string]string, len(list))
	for _, a := range list {
		if a.Name.Space != p.ns {
			continue
		}
		if _, twice := m[a.Name.Local]; twice {
			return nil, corrupt(codeXML, "the descriptor gives the attribute %.100q twice", a.Name.Local)
		}
		m[a.Name.Local] = a.Value
	}
	return m, nil
}

func (p *envelopeParser) system(list []xml.Attr) error {
	p.systems++
	if p.systems > 1 {
		return foreign("the package holds several virtual machines")
	}
	attrs, err := p.attrs(list)
	p.id = attrs["id"]
	return err
}

func (p *envelopeParser) file(list []xml.Attr) error {
	attrs, err := p.attrs(list)
	if err != nil {
		return err
	}
	f := fileRef{id: attrs["id"], href: attrs["href"], size: -1}
	if !plainName(f.href) {
		return unexpected("the descriptor refers to %.100q, which is not a plain file name", f.href)
	}
	_, chunked := attrs["chunkSize"]
	if c := attrs["compression"]; chunked || c != "" && c != "identity" {
		return foreign("the file %q is compressed or in pieces", f.href)
	}
	if s, given := attrs["size"]; given {
		if f.size, err = strconv.ParseInt(s, 10, 64); err != nil || f.size < 0 {
			return corrupt(codeXML, "the descriptor gives %q the size %.40q", f.href, s)
		}
	}
	for i := range p.env.files {
		if o := &p.env.files[i]; o.id == f.id || o.href == f.href {
			return corrupt(codeXML, "the descriptor lists the file %q (%.100q) twice", f.href, f.id)
		}
	}
	if len(p.env.files) == maxMembers {
		return corrupt(codeXML, "the descriptor lists more than %d files", maxMembers)
	}
	p.env.files = append(p.env.files, f)
	return nil
}

func (p *envelopeParser) disk(list []xml.Attr) error {
	attrs, err := p.attrs(list)
	if err != nil {
		return err
	}
	d := diskRef{id: attrs["diskId"], fileRef: attrs["fileRef"]}
	if attrs["parentRef"] != "" {
		return foreign("the disk %.100q holds only the difference to another", d.id)
	}
	if strings.HasPrefix(attrs["capacity"], "${") {
		return foreign("the capacity of the disk %.100q is left to whoever imports it", d.id)
	}
	var ok bool
	if d.capacity, ok = capacity(attrs["capacity"], attrs["capacityAllocationUnits"]); !ok {
		return corrupt(codeXML, "the disk %.100q has the capacity %.40q %.40q", d.id, attrs["capacity"], attrs["capacityAllocationUnits"])
	}
	for i := range p.env.disks {
		if p.env.disks[i].id == d.id {
			return corrupt(codeXML, "the descriptor lists the disk %.100q twice", d.id)
		}
	}
	if len(p.env.disks) == maxMembers {
		return corrupt(codeXML, "the descriptor lists more than %d disks", maxMembers)
	}
	p.env.disks = append(p.env.disks, d)
	return nil
}

// finish checks what holds only for the whole: every disk's file is listed.
func (p *envelopeParser) finish() (*envelope, error) {
	if p.systems != 1 {
		return nil, corrupt(codeXML, "the descriptor describes no virtual machine")
	}
	for _, d := range p.env.disks {
		if d.fileRef != "" && p.env.file(d.fileRef) == nil {
			return nil, corrupt(codeXML, "the disk %.100q refers to the file %.100q, which is not listed", d.id, d.fileRef)
		}
	}
	p.env.name = strings.TrimSpace(p.name.String())
	if p.env.name == "" {
		p.env.name = p.id
	}
	return &p.env, nil
}

// capacity multiplies a capacity by its unit: "byte" or "byte * 2^N" (DSP0004).
func capacity(number, unit string) (int64, bool) {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return 0, false
	}
	unit = strings.Join(strings.Fields(unit), "")
	if unit == "" || unit == "byte" {
		return n, true
	}
	exp, found := strings.CutPrefix(unit, "byte*2^")
	shift, err := strconv.ParseUint(exp, 10, 6)
	if !found || err != nil || n > math.MaxInt64>>shift {
		return 0, false
	}
	return n << shift, true
}

// plainName tells whether a name stands for a file in the package and nothing
// else on any system: no path, no drive, no URL, no control characters.
func plainName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= maxName &&
		utf8.ValidString(name) && !strings.ContainsAny(name, `/\:`) &&
		!strings.ContainsFunc(name, unicode.IsControl)
}
