package job

import (
	"bytes"
	"mime"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Limits of a request body in bytes, and of its nesting.
const (
	MaxJSON  = 1 << 20
	MaxYAML  = 256 << 10
	maxDepth = 16
)

// MaxBatch is the most jobs that one request may hold.
const MaxBatch = 1000

// DecodeSpecs reads the jobs of a request: one job, a list of jobs, or
// {"jobs": […]}, as JSON or YAML. If one of those jobs has an id, a type or
// depends_on, the object is one workflow and the jobs are its steps. A content
// type that says neither (a browser's or curl's default, or none) is decided by
// the first character. The decoder is strict: an unknown or repeated key, a wrong type, an anchor, an alias or a tag
// is refused with its line. Values are not judged here: see Spec.Validate. Kind
// Invalid, and the message lists all problems; Unprocessable for more than
// MaxBatch jobs.
func DecodeSpecs(body []byte, contentType string) ([]Spec, error) {
	root, err := parse(body, contentType)
	if err != nil {
		return nil, err
	}
	return bindSpecs(root)
}

// Decode reads a document of another kind by the rules of DecodeSpecs into the
// struct that dst points to, by the json names of its fields; a field of type
// []Spec takes jobs. hints tell for some unknown keys why they are.
func Decode(body []byte, contentType string, dst any, hints map[string]string) error {
	root, err := parse(body, contentType)
	if err != nil {
		return err
	}
	b := binder{hints: hints}
	if root.kind != kindMap {
		b.problemf(root.pos, "the document", "must be a mapping, not %s", root.kind)
	} else {
		b.bindStruct(root, "", reflect.ValueOf(dst).Elem())
	}
	return b.err()
}

func parse(body []byte, contentType string) (*node, error) {
	if !utf8.Valid(body) {
		return nil, malformed("the body is not UTF-8")
	}
	isJSON, err := sniff(body, contentType)
	if err != nil {
		return nil, err
	}
	read, limit := parseYAML, MaxYAML
	if isJSON {
		read, limit = parseJSON, MaxJSON
	}
	if len(body) > limit {
		return nil, fault.Newf(fault.Invalid, "HX-JOB-001", "submit in parts",
			"the body holds %d bytes; %d are allowed", len(body), limit)
	}
	return read(body)
}

func sniff(body []byte, contentType string) (isJSON bool, err error) {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil && contentType != "" {
		return false, fault.Newf(fault.Invalid, "HX-JOB-003", "send application/json or application/yaml",
			"the content type %.100q is malformed", contentType)
	}
	switch {
	case mediaType == "application/json", strings.HasSuffix(mediaType, "+json"):
		return true, nil
	case strings.HasSuffix(mediaType, "yaml"):
		return false, nil
	case mediaType == "", mediaType == "text/plain", mediaType == "application/octet-stream",
		mediaType == "application/x-www-form-urlencoded":
		head := bytes.TrimLeft(body, " \t\r\n")
		return len(head) > 0 && (head[0] == '{' || head[0] == '['), nil
	}
	return false, fault.Newf(fault.Invalid, "HX-JOB-003", "send application/json or application/yaml",
		"jobs cannot be read from %.100q", mediaType)
}

// bindSpecs turns a parsed body into jobs.
func bindSpecs(root *node) ([]Spec, error) {
	var b binder
	list := []*node{root}
	switch {
	case root.kind == kindList:
		list = root.items
	case root.kind == kindMap && root.get("jobs") != nil && !isWorkflow(root):
		list = b.jobsOf(root)
	}
	if len(list) > MaxBatch { // a short text holds very many empty jobs
		return nil, fault.Newf(fault.Unprocessable, "HX-JOB-014", "split it",
			"the request holds %d jobs; %d are allowed", len(list), MaxBatch)
	}
	specs := make([]Spec, len(list))
	for i, n := range list {
		where := ""
		if n != root {
			where = "jobs[" + itoa(i) + "]"
		}
		b.bindSpec(n, where, &specs[i])
	}
	if err := b.err(); err != nil {
		return nil, err
	}
	return specs, nil
}

// jobsOf returns the list of {"jobs": […]}.
func (b *binder) jobsOf(root *node) []*node {
	for _, p := range root.pairs {
		if p.key != "jobs" {
			b.problemf(p.pos, p.key, "unknown key beside jobs")
		}
	}
	jobs := root.get("jobs")
	if jobs.kind != kindList {
		b.problemf(jobs.pos, "jobs", "must be a list of jobs, not %s", jobs.kind)
	}
	return jobs.items
}

func malformed(what string) error {
	return fault.New(fault.Invalid, "HX-JOB-002", what, "see the job specification in the API document")
}

// IsJSON tells whether Decode reads the body as JSON.
func IsJSON(body []byte, contentType string) bool {
	isJSON, err := sniff(body, contentType)
	return isJSON && err == nil
}
