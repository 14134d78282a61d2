// Package pages serves the pages for people who try the APIs: the OpenAPI document
// and a GraphQL explorer. Everything is in the program: they work offline.
package pages

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Pattern is where the pages are, http.ServeMux's way.
const Pattern = "GET /docs/"

// policy lets a page load and call nothing but this daemon. The styles that the
// two programs set on elements are inline; no script is.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed own vendored/*.gz
var files embed.FS

// page is a file as it is sent.
type page struct {
	contentType string
	packed      []byte // gzip
}

// New makes the handler of all pages.
func New() (http.Handler, error) {
	all := map[string]page{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		base := path.Base(name)
		if plain, ok := strings.CutSuffix(base, ".gz"); ok {
			all[plain] = page{typeOf(plain), text}
			return nil
		}
		packed, err := pack(text)
		all[strings.TrimSuffix(base, ".html")] = page{typeOf(base), packed}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	all[""] = all["openapi"]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, found := all[strings.TrimPrefix(r.URL.Path, "/docs/")]
		if !found {
			http.NotFound(w, r)
			return
		}
		p.serve(w, r)
	}), nil
}

func typeOf(name string) string {
	switch path.Ext(name) { // not package mime: it asks the machine
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	}
	return "text/plain; charset=utf-8" // licences
}

func pack(text []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	err := z.Close()
	return b.Bytes(), err
}

func (p page) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", p.contentType)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		h.Set("Content-Length", strconv.Itoa(len(p.packed)))
		_, _ = w.Write(p.packed) // the client is gone: nobody to tell
		return
	}
	z, err := gzip.NewReader(bytes.NewReader(p.packed))
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	_, _ = io.Copy(w, z) //nolint:gosec // our own file
}
