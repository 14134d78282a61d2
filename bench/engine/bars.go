package main

import "fmt"

// bar is what is promised of one measurement; the zero value promises nothing.
type bar struct {
	ratio float64 // of our rate to River's, at least
	p50   float64 // milliseconds, at most
	p99   float64
	grow  float64 // of the p99 against that of the smallest table, at most
}

// bars are those of one database.
type bars struct {
	database                                                string
	submits, start, flow, claim, largeFlow, page, sustained bar
}

var (
	sqliteBars = bars{
		database: "SQLite", submits: bar{ratio: 5}, start: bar{p50: 5}, flow: bar{ratio: 2}, claim: bar{grow: 2},
		page: bar{p99: 10}, sustained: bar{p99: 100},
	}
	postgresBars = bars{
		database: "PostgreSQL", submits: bar{ratio: 1}, flow: bar{ratio: 1}, claim: bar{grow: 2}, largeFlow: bar{ratio: 2},
		page: bar{p99: 10}, sustained: bar{p99: 100},
	}
)

func (b bar) verdict(ours result, river *result) string {
	switch {
	case b.ratio > 0:
		return judge(ours.Rate >= b.ratio*river.Rate, "≥ %g × River", b.ratio)
	case b.p50 > 0:
		return judge(ours.P50 <= b.p50, "p50 ≤ %g ms", b.p50)
	case b.p99 > 0:
		return judge(ours.P99 <= b.p99, "p99 ≤ %g ms", b.p99)
	}
	return ""
}

// growth compares with the smallest table.
func (b bar) growth(first, r result) string {
	if b.grow == 0 || r == first {
		return ""
	}
	return judge(r.P99 <= b.grow*first.P99, "p99 ≤ %g × that of 1,000", b.grow) + fmt.Sprintf(" (%.2f)", r.P99/first.P99)
}

func judge(held bool, bar string, value float64) string {
	if held {
		return fmt.Sprintf(bar, value) + ": held"
	}
	return fmt.Sprintf(bar, value) + ": **missed**"
}
