package rest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/fault"
)

const spec = `{"vm_path":"/DC/vm/web-01","output_path":"out"}`

func TestSubmitForms(t *testing.T) {
	w := newWorld(t)
	yaml := "vm_path: /DC/vm/web-01\noutput_path: out\npriority: critical\n"
	for name, c := range map[string]struct {
		body, contentType string
		jobs              int
	}{
		"one":                   {spec, "application/json", 1},
		"list":                  {"[" + spec + "," + spec + "]", "application/json", 2},
		"object":                {`{"jobs":[` + spec + `]}`, "application/json; charset=utf-8", 1},
		"yaml":                  {yaml, "application/yaml", 1},
		"yaml list":             {"- vm_path: /a\n- vm_path: /b\n", "application/x-yaml", 2},
		"curl -d":               {spec, "application/x-www-form-urlencoded", 1},
		"curl -d of yaml":       {yaml, "application/x-www-form-urlencoded", 1},
		"no content type":       {spec, "", 1},
		"vendor's content type": {spec, "application/vnd.hypersdk+json", 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.call("POST", "/jobs/submit", c.body, "Content-Type", c.contentType)
			var s client.Submitted
			if got.status != 202 || json.Unmarshal([]byte(got.body), &s) != nil || len(s.JobIDs) != c.jobs || s.Accepted != c.jobs {
				t.Fatalf("%+v", got)
			}
			if location := got.header.Get("Location"); (location == "/jobs/"+s.JobIDs[0]) != (c.jobs == 1) {
				t.Fatalf("Location %q", location)
			}
			if strings.Contains(got.body, "$schema") || !strings.Contains(got.body, `"errors":[]`) {
				t.Fatal(got.body)
			}
		})
	}
}

func TestSubmitRefusals(t *testing.T) {
	w := newWorld(t)
	bad := `{"vm_path":"/x","provider":"nowhere"}`
	got := w.call("POST", "/jobs/submit", "["+bad+","+spec+"]", "Content-Type", "application/json")
	var s client.Submitted
	must(t, json.Unmarshal([]byte(got.body), &s))
	if got.status != 202 || s.Accepted != 1 || s.Rejected != 1 || *s.Errors[0].Index != 0 || s.Errors[0].Code != "HX-TEST-001" {
		t.Fatalf("%+v", got)
	}
	one := w.call("POST", "/jobs/submit", bad, "Content-Type", "application/json")
	if p := one.problem(t); one.status != 422 || p.Code != "HX-TEST-001" || p.Fix != "use vsphere" || p.RequestID == "" {
		t.Fatalf("%+v", one)
	}
	all := w.call("POST", "/jobs/submit", "["+bad+","+bad+"]", "Content-Type", "application/json")
	if p := all.problem(t); all.status != 422 || len(p.Errors) != 2 || *p.Errors[1].Index != 1 {
		t.Fatalf("%+v", all)
	}
}

func TestIdempotencyKey(t *testing.T) {
	w := newWorld(t)
	send := func(body, key string) answer {
		return w.call("POST", "/jobs/submit", body, "Content-Type", "application/json", "Idempotency-Key", key)
	}
	first, again := send(spec, "k1"), send(spec, "k1")
	if first.status != 202 || again.status != 202 || first.body != again.body {
		t.Fatalf("%+v\n%+v", first, again)
	}
	if first.header.Get("Idempotent-Replayed") != "" || again.header.Get("Idempotent-Replayed") != "true" {
		t.Fatal("the replay is not marked")
	}
	if other := send(`{"vm_path":"/DC/vm/other"}`, "k1"); other.status != 422 {
		t.Fatalf("%+v", other)
	}
	for _, key := range []string{strings.Repeat("k", 256), "two words", "ümlaut"} {
		if got := send(spec, key); got.status != 400 {
			t.Errorf("%.20q: %+v", key, got)
		}
	}
}

func TestQueryAndList(t *testing.T) {
	w := newWorld(t)
	ids := w.submit(5)
	slices.Reverse(ids)

	var paged []string
	for j, err := range w.api.Jobs(t.Context(), client.Query{Limit: 2}) {
		must(t, err)
		paged = append(paged, j.ID)
	}
	if !slices.Equal(paged, ids) {
		t.Fatalf("got %v, want %v", paged, ids)
	}
	page, err := w.api.Query(t.Context(), client.Query{JobIDs: ids[:2], Status: []client.State{client.Pending}, VM: "*web-0?", Since: time.Now().Add(-time.Hour)})
	must(t, err)
	if page.Total != 2 || len(page.Jobs) != 2 || page.NextCursor != "" || page.Timestamp.IsZero() || page.Jobs[0].Spec.VMPath != "/DC/vm/web-01" {
		t.Fatalf("%+v", page)
	}
	if got := w.call("POST", "/jobs/query", `{"status":["failed"]}`); !strings.Contains(got.body, `"jobs":[]`) {
		t.Fatalf("%+v", got)
	}
	if got := w.call("POST", "/jobs/query", `{}`, "Content-Type", "application/x-www-form-urlencoded"); got.status != 200 {
		t.Fatalf("what curl sends: %+v", got)
	}

	var listed []string
	for path := "/jobs?limit=2&status=pending,running&vm=web-01"; path != ""; {
		got := w.call("GET", path, "")
		var l struct {
			Items      []client.Job `json:"items"`
			NextCursor string       `json:"next_cursor"`
		}
		must(t, json.Unmarshal([]byte(got.body), &l))
		for _, j := range l.Items {
			listed = append(listed, j.ID)
		}
		path = ""
		if link := got.header.Get("Link"); link != "" {
			path = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
			if u, err := url.Parse(path); err != nil || u.Query().Get("cursor") != l.NextCursor || u.Query().Get("vm") != "web-01" {
				t.Fatalf("Link %s", link)
			}
		}
	}
	if !slices.Equal(listed, ids) {
		t.Fatalf("got %v, want %v", listed, ids)
	}
}

func TestJobAndReceipt(t *testing.T) {
	w := newWorld(t)
	id := w.submit(1)[0]
	if got := w.call("GET", "/jobs/"+id+"/receipt", ""); got.status != 409 {
		t.Fatalf("%+v", got)
	}
	lease := w.claim()
	w.progress(lease, 12.5)
	j, err := w.api.Get(t.Context(), id)
	must(t, err)
	if j.Status != client.Running || j.Progress.Percent != 12.5 || j.Progress.ETA != -1 || j.Attempt != 1 || j.StartedAt == nil {
		t.Fatalf("%+v", j)
	}
	w.complete(lease)
	j, err = w.api.Get(t.Context(), id)
	must(t, err)
	if !j.Status.Final() || len(j.Artifacts) != 1 || len(j.Receipt) == 0 {
		t.Fatalf("%+v", j)
	}
	if got := w.call("GET", "/jobs/"+id+"/receipt", ""); got.status != 200 || got.body != sampleReceipt {
		t.Fatalf("the receipt's bytes changed: %+v", got)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	ids := w.submit(3)
	lease := w.claim() // of the first
	got, err := w.api.Cancel(t.Context(), ids[1], "not needed")
	must(t, err)
	if got.Outcome != "cancelled" || got.Status != client.Cancelled || got.JobID != ids[1] {
		t.Fatalf("%+v", got)
	}
	if got := w.call("POST", "/jobs/"+lease.Job.ID+"/cancel", ""); got.status != 200 || !strings.Contains(got.body, `"outcome":"cancelling"`) {
		t.Fatalf("without a body: %+v", got)
	}
	body, err := json.Marshal(map[string]any{"job_ids": []string{ids[0], ids[1], ids[2], "nonsense"}, "reason": "all"})
	must(t, err)
	many := w.call("POST", "/jobs/cancel", string(body))
	var m struct {
		Results []struct {
			client.Cancellation
			Error *client.Issue `json:"error"`
		} `json:"results"`
		Failed int `json:"failed"`
	}
	must(t, json.Unmarshal([]byte(many.body), &m))
	var outcomes []string
	for _, r := range m.Results {
		outcomes = append(outcomes, r.Outcome)
	}
	if fmt.Sprint(outcomes) != "[already_asked already_final cancelled ]" || m.Failed != 1 || m.Results[3].Error == nil {
		t.Fatalf("%+v", many)
	}
}

func TestVMs(t *testing.T) {
	w := newWorld(t)
	vms, err := w.api.VMs(t.Context(), "vsphere", "/DC/vm/*", "a,b")
	must(t, err)
	if len(vms) != 2 || vms[0].Disks[0].CapacityBytes != 1<<40 || vms[1].Name != "<b>&" {
		t.Fatalf("%+v", vms)
	}
	if !slices.Equal(w.inv.asked, []string{"/DC/vm/*", "a,b"}) {
		t.Fatalf("asked for %q", w.inv.asked)
	}
	if got := w.call("GET", "/vms/%2FDC%2Fvm%2Fweb-01", ""); got.status != 200 || !strings.Contains(got.body, `"id":"vm-1"`) {
		t.Fatalf("%+v", got)
	}
	if got := w.call("GET", "/vms/vm-9", ""); got.status != 404 {
		t.Fatalf("%+v", got)
	}
	w.inv.vms = nil
	if got := w.call("GET", "/vms", ""); got.body != "{\"items\":[]}\n" {
		t.Fatalf("%+v", got)
	}
	w.inv.err = &fault.Error{Kind: fault.Unavailable, Code: "HX-VS-001", Msg: "vCenter does not answer", Err: errors.New("dial tcp 10.0.0.1")}
	if got := w.call("GET", "/vms", ""); got.status != 503 || strings.Contains(got.body, "10.0.0.1") {
		t.Fatalf("%+v", got)
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	w.submit(2)
	w.claim()
	s, err := w.api.Status(t.Context())
	must(t, err)
	if s.Jobs[client.Pending] != 1 || s.Jobs[client.Running] != 1 || len(s.Jobs) != 6 || s.Version != "v0.0.0-test" || s.Uptime <= 0 {
		t.Fatalf("%+v", s)
	}
}
