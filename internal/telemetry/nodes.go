package telemetry

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/node"
)

// nodes collects how many daemons share the queue: one question for each scrape.
type nodes struct {
	list func(ctx context.Context) ([]node.Node, error)
	log  *slog.Logger
}

var nodesNow = prometheus.NewDesc("hypervisord_nodes", "Daemons that share the queue, by state.", []string{"state"}, nil)

// Describe implements prometheus.Collector.
func (*nodes) Describe(ch chan<- *prometheus.Desc) { ch <- nodesNow }

// Collect implements prometheus.Collector. As with the backlog, no answer is no
// zero.
func (n *nodes) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime) // the interface brings none
	defer cancel()
	all, err := n.list(ctx)
	if err != nil {
		n.log.LogAttrs(ctx, slog.LevelWarn, "nodes not counted for the metrics", slog.String("error", fault.Detail(err)))
		return
	}
	counts := map[node.State]int{}
	for i := range all {
		counts[all[i].State]++
	}
	for _, state := range node.States() {
		ch <- prometheus.MustNewConstMetric(nodesNow, prometheus.GaugeValue, float64(counts[state]), string(state))
	}
}
