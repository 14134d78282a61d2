package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// space collects the free space of the disks.
type space struct {
	free func() map[string]int64
	busy chan struct{} // holds a token while a look is at work
}

var freeNow = prometheus.NewDesc("hypervisord_disk_free_bytes",
	"Free bytes of the file system that holds the state, and of the fullest one that outputs go to.", []string{"purpose"}, nil)

// Describe implements prometheus.Collector.
func (*space) Describe(ch chan<- *prometheus.Desc) { ch <- freeNow }

// Collect implements prometheus.Collector. What cannot be looked at is left out: a
// file server that is dead answers no statfs, and costs one goroutine.
func (s *space) Collect(ch chan<- prometheus.Metric) {
	select {
	case s.busy <- struct{}{}:
	default:
		return
	}
	found := make(chan map[string]int64, 1)
	go func() {
		defer func() { <-s.busy }()
		found <- s.free()
	}()
	timer := time.NewTimer(scrapeTime)
	defer timer.Stop()
	select {
	case all := <-found:
		for purpose, bytes := range all {
			ch <- prometheus.MustNewConstMetric(freeNow, prometheus.GaugeValue, float64(bytes), purpose)
		}
	case <-timer.C:
	}
}
