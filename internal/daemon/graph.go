package daemon

import (
	"fmt"
	"net"

	"github.com/hypersdk/hypersdk/internal/api/graph"
	"github.com/hypersdk/hypersdk/internal/api/pages"
	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/version"
)

// graph makes the GraphQL door.
func (d *Daemon) graph(entry *gate.Gate) rest.Door {
	return rest.Door{Pattern: graph.Pattern, Handler: graph.New(graph.Deps{
		Service: d.engine.Service, Retention: d.engine.retention, Audit: d.engine.audit, Inventory: d.engine, Gate: entry, Hall: d.streams,
		Log: d.log, Version: version.String(),
	})}
}

// The values of the key pages.
const (
	pagesLocal = "loopback" // only while the API listens on a loopback address
	pagesOn    = "on"
	pagesOff   = "off"
)

func (c *Config) checkPages() []string {
	switch c.Pages {
	case pagesLocal, pagesOn, pagesOff:
		return nil
	}
	return []string{fmt.Sprintf("pages: one of %s, %s, %s", pagesLocal, pagesOn, pagesOff)}
}

// pages makes the pages to try the APIs by, if they are to be served.
func (d *Daemon) pages() ([]rest.Door, error) {
	host, _, _ := net.SplitHostPort(d.cfg.Listen)
	ip := net.ParseIP(host)
	local := host == "localhost" || ip != nil && ip.IsLoopback()
	if d.cfg.Pages == pagesOff || d.cfg.Pages == pagesLocal && !local {
		return nil, nil
	}
	h, err := pages.New()
	return []rest.Door{{Pattern: pages.Pattern, Handler: h, Open: true}}, err
}
