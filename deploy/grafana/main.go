// Grafana writes the dashboard of hypervisord (hypervisord.json): classic schema,
// for Grafana 10 and later.
//
//	go run ./deploy/grafana > deploy/grafana/hypervisord.json
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

func main() {
	text, err := render()
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// panel is one picture. In its queries SELECT stands for the chosen daemons.
type panel struct {
	title, about, kind, unit string
	width                    int // of 24
	queries                  []query
}

// query has PromQL and the names of its lines.
type query struct{ expr, legend string }

// row is a heading with panels.
type row struct {
	title  string
	panels []panel
}

const (
	stat   = "stat"
	series = "timeseries"
)

func render() ([]byte, error) {
	var panels []any
	id, y := 0, 0
	for _, r := range rows {
		id++
		panels = append(panels, object{"id": id, "type": "row", "title": r.title, "collapsed": false, "gridPos": place(0, y, 24, 1), "panels": []any{}})
		y++
		x, high := 0, 0
		for _, p := range r.panels {
			height := 8
			if p.kind == stat {
				height = 4
			}
			if x+p.width > 24 {
				x, y = 0, y+high
			}
			id++
			panels = append(panels, p.json(id, place(x, y, p.width, height)))
			x, high = x+p.width, height
		}
		y += high
	}
	text, err := json.MarshalIndent(object{
		"title": "hypervisord", "uid": "hypervisord", "tags": []string{"hypervisord"}, "schemaVersion": 39, "version": 1,
		"editable": true, "graphTooltip": 1, "refresh": "30s", "timezone": "", "panels": panels,
		"time": object{"from": "now-6h", "to": "now"}, "annotations": object{"list": []any{}}, "links": []any{},
		"templating": object{"list": []any{
			object{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0, "current": object{}},
			object{
				"name": "instance", "label": "Daemon", "type": "query", "datasource": source(), "query": "label_values(hypervisord_build_info, instance)",
				"multi": true, "includeAll": true, "allValue": ".+", "refresh": 2, "sort": 1, "hide": 0,
				"current": object{"selected": true, "text": "All", "value": "$__all"},
			},
		}},
	}, "", "  ")
	return append(text, '\n'), err
}

// object is a JSON object; its keys are sorted when it is written.
type object map[string]any

func place(x, y, w, h int) object { return object{"x": x, "y": y, "w": w, "h": h} }

func source() object { return object{"type": "prometheus", "uid": "${datasource}"} }

func (p panel) json(id int, at object) object {
	targets := make([]any, len(p.queries))
	for i, q := range p.queries {
		targets[i] = object{
			"refId": string(rune('A' + i)), "datasource": source(), "editorMode": "code", "range": true,
			"expr": strings.ReplaceAll(q.expr, "SELECT", `instance=~"$instance"`), "legendFormat": q.legend,
		}
	}
	custom := object{"fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": false}
	options := object{"legend": object{"displayMode": "list", "placement": "bottom"}, "tooltip": object{"mode": "multi", "sort": "desc"}}
	if p.kind == stat {
		custom = object{}
		options = object{"reduceOptions": object{"calcs": []string{"lastNotNull"}}, "textMode": "auto", "colorMode": "value", "graphMode": "area"}
	}
	return object{
		"id": id, "type": p.kind, "title": p.title, "description": p.about, "datasource": source(), "gridPos": at, "targets": targets,
		"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0, "custom": custom}, "overrides": []any{}}, "options": options,
	}
}
