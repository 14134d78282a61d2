// Package conform compares HTTP exchanges with the OpenAPI document that the daemon
// serves. It is for tests, those of the door and those from the outside: it reads
// the document as a stranger does, and an independent validator judges.
package conform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Document is an OpenAPI 3.1 document, whose schemas are JSON Schema 2020-12.
type Document struct {
	root     map[string]any
	compiler *jsonschema.Compiler
	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
}

const base = "https://hypervisord.test/openapi.json"

// Fetch gets the document of the daemon at a base URL.
func Fetch(ctx context.Context, client *http.Client, baseURL string) (*Document, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, baseURL+"/openapi.json", http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	value, err := jsonschema.UnmarshalJSON(res.Body)
	if err != nil {
		return nil, err
	}
	root, ok := value.(map[string]any)
	if !ok || !strings.HasPrefix(fmt.Sprint(root["openapi"]), "3.1.") {
		return nil, errors.New("it is no OpenAPI 3.1 document")
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	return &Document{root: root, compiler: c, compiled: map[string]*jsonschema.Schema{}}, c.AddResource(base, root)
}

// Validate judges a JSON text by the schema at a JSON pointer.
func (d *Document) Validate(text []byte, pointer ...string) error {
	schema, err := d.Schema(pointer...)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// Schema compiles the schema at a JSON pointer.
func (d *Document) Schema(pointer ...string) (*jsonschema.Schema, error) {
	var fragment strings.Builder
	for _, p := range pointer {
		fragment.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.compiled[fragment.String()]; s != nil {
		return s, nil
	}
	s, err := d.compiler.Compile(base + "#" + (&url.URL{Fragment: fragment.String()}).EscapedFragment())
	if err == nil {
		d.compiled[fragment.String()] = s
	}
	return s, err
}

// At walks the document; nil if there is no object.
func (d *Document) At(path ...string) map[string]any {
	node := d.root
	for _, p := range path {
		next, ok := node[p].(map[string]any)
		if !ok {
			return nil
		}
		node = next
	}
	return node
}

// operation finds the documented operation of a request.
func (d *Document) operation(method, path string) []string {
	segments := strings.Split(path, "/")
	var best []string
	for template := range d.At("paths") {
		parts := strings.Split(template, "/")
		if len(parts) != len(segments) || d.At("paths", template, strings.ToLower(method)) == nil {
			continue
		}
		fits, literal := true, true
		for i, p := range parts {
			if strings.HasPrefix(p, "{") {
				literal = false
			} else if p != segments[i] {
				fits = false
			}
		}
		if fits && (best == nil || literal) {
			best = []string{"paths", template, strings.ToLower(method)}
		}
	}
	return best
}
