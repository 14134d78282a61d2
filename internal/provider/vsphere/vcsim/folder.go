package vcsim

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/object"
)

// serveFolder serves datastore files as vCenter's /folder does: with a session
// cookie or basic authentication, by dcPath and dsName, with Range.
func (s *Server) serveFolder(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/folder/")
	dp := object.DatastorePath{Datastore: r.URL.Query().Get("dsName"), Path: name}
	flat, at := s.flat(dp.String())
	at.transport = Folder
	if !s.admit(w, r, at) {
		return
	}
	if !s.authenticated(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="VMware HTTP server"`)
		http.Error(w, "401 Unauthorized", http.StatusUnauthorized)
		return
	}
	if strings.Trim(r.URL.Query().Get("dcPath"), "/") != datacenterName || !filepath.IsLocal(name) {
		http.NotFound(w, r)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPut, http.MethodPost:
		s.service.ServeDatastore(w, r)
		return
	default:
		http.Error(w, "405 Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	if flat != nil {
		s.serveFlat(w, r, flat, at)
		return
	}
	local, err := s.localPath(dp.String())
	if err != nil || strings.HasSuffix(name, "-sesparse.vmdk") {
		http.NotFound(w, r)
		return
	}
	if st, err := os.Stat(local); err != nil || !st.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeFile(w, r, local)
}

var errChainChanged = errors.New("the chain of the disk changed while it was read")

// serveFlat serves the base of a disk's chain, which is frozen while it may be
// read. A change of the chain cuts the connection.
func (s *Server) serveFlat(w http.ResponseWriter, r *http.Request, f *flatFile, at site) {
	generation := f.m.generation()
	if why := f.locked(s.context()); why != "" {
		http.Error(w, "500 Internal Server Error: "+why, http.StatusInternalServerError)
		return
	}
	rng, err := parseRange(r.Header.Get("Range"), f.m.size)
	if err != nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", f.m.size))
		http.Error(w, err.Error(), http.StatusRequestedRangeNotSatisfiable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(rng.n, 10))
	if st, err := f.m.stat(); err == nil {
		h.Set("Last-Modified", st.ModTime().UTC().Format(http.TimeFormat))
	}
	status := http.StatusOK
	if rng.partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", rng.off, rng.off+rng.n-1, f.m.size))
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	s.stats.request(at)
	out := s.newBody(w, r, at)
	out.note = func(pos, n int64) { s.stats.sent(at, rng.off+pos, n) }
	out.check = func() error {
		if f.m.generation() != generation {
			return errChainChanged
		}
		return nil
	}
	if err := s.sendBase(out, f.m, rng.extent, at); err != nil {
		panic(http.ErrAbortHandler)
	}
}
