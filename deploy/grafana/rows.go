package main

// rows are the dashboard. A series that begins when something first happens is
// completed with zeros, so that a quiet daemon shows no gaps.
var rows = []row{
	{"Overview", []panel{
		{"Success rate", "Completed of all that completed or failed; cancelled jobs count as neither.", stat, "percentunit", 4, []query{
			{`sum(rate(hypervisord_jobs_total{SELECT, status="completed"}[$__rate_interval])) / sum(rate(hypervisord_jobs_total{SELECT, status=~"completed|failed"}[$__rate_interval]) > 0)`, ""},
		}},
		{"Running", "", stat, "short", 4, []query{{`max(hypervisord_jobs{SELECT, status="running"})`, ""}}},
		{"Waiting", "Several daemons on one database all see the same queue.", stat, "short", 4, []query{{`max(hypervisord_queue_length{SELECT})`, ""}}},
		{"Longest wait", "Of a job that could run.", stat, "s", 4, []query{{`max(hypervisord_queue_oldest_seconds{SELECT})`, ""}}},
		{"Read from sources", "", stat, "Bps", 4, []query{{`sum(rate(hypervisord_bytes_total{SELECT, direction="source"}[$__rate_interval]))`, ""}}},
		{"Least free space", "", stat, "bytes", 4, []query{{`min(hypervisord_disk_free_bytes{SELECT})`, ""}}},
	}},
	{"Jobs", []panel{
		{"Jobs that ended", "", series, "short", 8, []query{
			{`sum by (status) (increase(hypervisord_jobs_total{SELECT}[$__rate_interval]))`, "{{status}}"},
		}},
		{"Duration of jobs", "From the first start to the end.", series, "s", 8, []query{
			{`histogram_quantile(0.5, sum by (le, format) (rate(hypervisord_jobs_duration_seconds_bucket{SELECT}[$__rate_interval])))`, "{{format}} median"},
			{`histogram_quantile(0.95, sum by (le, format) (rate(hypervisord_jobs_duration_seconds_bucket{SELECT}[$__rate_interval])))`, "{{format}} 95 %"},
		}},
		{"Runs by outcome", "A job has several runs when it is retried, interrupted, or its lease is lost.", series, "short", 8, []query{
			{`sum by (outcome) (increase(hypervisord_runs_total{SELECT}[$__rate_interval]))`, "{{outcome}}"},
		}},
		{"Steps of workflows", "", series, "short", 8, []query{
			{`sum by (type, status) (increase(hypervisord_steps_total{SELECT}[$__rate_interval]))`, "{{type}} {{status}}"},
		}},
		{"Duration of steps, 95 %", "", series, "s", 8, []query{
			{`histogram_quantile(0.95, sum by (le, type) (rate(hypervisord_step_duration_seconds_bucket{SELECT}[$__rate_interval])))`, "{{type}}"},
		}},
		{"Submitted, refused, retried", "Refused: a tenant's quota kept them out.", series, "short", 8, []query{
			{`sum(increase(hypervisord_jobs_submitted_total{SELECT}[$__rate_interval]))`, "submitted"},
			{`sum by (quota) (increase(hypervisord_quota_refusals_total{SELECT}[$__rate_interval]))`, "refused: {{quota}}"},
			{`sum(increase(hypervisord_job_retries_total{SELECT}[$__rate_interval]))`, "retried"},
		}},
	}},
	{"Queue and workers", []panel{
		{"Jobs by state", "", series, "short", 6, []query{
			{`max by (status) (hypervisord_jobs{SELECT, status=~"pending|running|cancelling"})`, "{{status}}"},
		}},
		{"Longest wait by priority", "", series, "s", 6, []query{{`max by (priority) (hypervisord_queue_oldest_seconds{SELECT})`, "{{priority}}"}}},
		{"Workers", "", series, "short", 6, []query{
			{`sum by (state) (hypervisord_workers{SELECT})`, "{{state}}"},
			{`sum(hypervisord_workers_desired{SELECT})`, "desired"},
		}},
		{"Leases and nodes", "", series, "short", 6, []query{
			{`max by (state) (hypervisord_leases{SELECT})`, "leases {{state}}"},
			{`max by (state) (hypervisord_nodes{SELECT})`, "nodes {{state}}"},
		}},
	}},
	{"Data", []panel{
		{"Bytes of disks", "Source: over the wire. Written: to the output. Zero: neither read nor written.", series, "Bps", 6, []query{
			{`sum by (direction) (rate(hypervisord_bytes_total{SELECT}[$__rate_interval]))`, "{{direction}}"},
		}},
		{"Bytes by phase", "Holes included.", series, "Bps", 6, []query{
			{`sum by (phase) (rate(hypervisord_phase_bytes_total{SELECT}[$__rate_interval]))`, "{{phase}}"},
		}},
		{"Waiting for a bandwidth limit", "Seconds per second, all jobs added up.", series, "short", 6, []query{
			{`sum by (level) (rate(hypervisord_bandwidth_wait_seconds_total{SELECT}[$__rate_interval]))`, "{{level}}"},
		}},
		{"Troubles with sources", "", series, "short", 6, []query{
			{`sum by (operation) (increase(hypervisord_source_retries_total{SELECT}[$__rate_interval]))`, "retry {{operation}}"},
			{`sum(increase(hypervisord_source_relogins_total{SELECT}[$__rate_interval]))`, "new logins"},
			{`sum(hypervisord_source_host_waits{SELECT})`, "streams waiting for a host"},
		}},
	}},
	{"API", []panel{
		{"Requests", "", series, "reqps", 8, []query{
			{`sum by (method, path) (rate(hypervisord_http_requests_total{SELECT}[$__rate_interval]))`, "{{method}} {{path}}"},
		}},
		{"Share that failed by our fault", "Status 5xx.", series, "percentunit", 8, []query{
			{`(sum(rate(hypervisord_http_requests_total{SELECT, status=~"5.."}[$__rate_interval])) or vector(0)) / sum(rate(hypervisord_http_requests_total{SELECT}[$__rate_interval]))`, "5xx"},
		}},
		{"Time to answer", "", series, "s", 8, []query{
			{`histogram_quantile(0.5, sum by (le) (rate(hypervisord_http_request_duration_seconds_bucket{SELECT}[$__rate_interval])))`, "median"},
			{`histogram_quantile(0.99, sum by (le) (rate(hypervisord_http_request_duration_seconds_bucket{SELECT}[$__rate_interval])))`, "99 %"},
		}},
		{"Calls at the rate limits", "Anonymous: an address without a credential. Credentials: an address whose credentials were refused.", series, "reqps", 8, []query{
			{`sum by (limit, outcome) (rate(hypervisord_limiter_requests_total{SELECT}[$__rate_interval]))`, "{{limit}} {{outcome}}"},
		}},
		{"Connections", "Refused: a client, or all together, had too many.", series, "short", 8, []query{
			{`sum(hypervisord_connections{SELECT})`, "open"},
			{`sum by (reason) (increase(hypervisord_connections_refused_total{SELECT}[$__rate_interval]))`, "refused: {{reason}}"},
		}},
		{"Callers that the limits remember", "65,536 at most for each.", series, "short", 8, []query{
			{`max by (limit) (hypervisord_limiter_buckets{SELECT})`, "{{limit}}"},
		}},
	}},
	{"Webhooks", []panel{
		{"Attempts", "Delivered; to be tried again; given up.", series, "short", 6, []query{
			{`sum by (outcome) (increase(hypervisord_webhook_attempts_total{SELECT}[$__rate_interval]))`, "{{outcome}}"},
		}},
		{"Time of an attempt, 95 %", "", series, "s", 6, []query{
			{`histogram_quantile(0.95, sum by (le, outcome) (rate(hypervisord_webhook_attempt_duration_seconds_bucket{SELECT}[$__rate_interval])))`, "{{outcome}}"},
		}},
		{"Circuit breakers", "Webhooks by the state of theirs: an open one spends no attempt.", series, "short", 6, []query{
			{`max by (state) (hypervisord_webhook_breakers{SELECT})`, "{{state}}"},
			{`sum(increase(hypervisord_webhook_disabled_total{SELECT}[$__rate_interval]))`, "disabled"},
		}},
		{"Deliveries that wait", "", series, "short", 3, []query{{`max(hypervisord_webhook_queue_length{SELECT})`, "deliveries"}}},
		{"Longest wait of a delivery", "", series, "s", 3, []query{{`max(hypervisord_webhook_queue_age_seconds{SELECT})`, "age"}}},
	}},
	{"Audit", []panel{
		{"Entries", "Changes, and attempts that were refused.", series, "short", 6, []query{
			{`sum by (result) (increase(hypervisord_audit_entries_total{SELECT}[$__rate_interval]))`, "{{result}}"},
		}},
		{"Log and checkpoint", "The checkpoint covers all but the newest.", series, "short", 6, []query{
			{`max(hypervisord_audit_log_entries{SELECT})`, "entries"},
			{`max(hypervisord_audit_checkpoint_entries{SELECT})`, "signed"},
		}},
		{"Not signed since", "Of the oldest entry that no checkpoint covers; and the age of the last checkpoint.", series, "s", 6, []query{
			{`max(hypervisord_audit_unsigned_seconds{SELECT})`, "not signed"},
			{`min(hypervisord_audit_checkpoint_age_seconds{SELECT})`, "last checkpoint"},
		}},
		{"Lines to a collector", "Of the daemon's own log, by OTLP.", series, "short", 6, []query{
			{`sum by (result) (rate(hypervisord_otlp_log_records_total{SELECT}[$__rate_interval]))`, "{{result}}"},
		}},
		{"Sinks: entries behind", "", series, "short", 8, []query{{`max by (sink) (hypervisord_audit_sink_lag_entries{SELECT})`, "{{sink}}"}}},
		{"Sinks: behind since", "", series, "s", 8, []query{{`max by (sink) (hypervisord_audit_sink_lag_seconds{SELECT})`, "{{sink}}"}}},
		{"Sinks: taken and refused", "", series, "short", 8, []query{
			{`sum by (sink) (rate(hypervisord_audit_sink_entries_total{SELECT}[$__rate_interval]))`, "{{sink}} entries"},
			{`sum by (sink) (rate(hypervisord_audit_sink_errors_total{SELECT}[$__rate_interval]))`, "{{sink}} errors"},
		}},
	}},
	{"Database", []panel{
		{"Time of a transaction", "With the wait for the disk.", series, "s", 8, []query{
			{`histogram_quantile(0.5, sum by (le) (rate(hypervisord_store_commit_seconds_bucket{SELECT}[$__rate_interval])))`, "median"},
			{`histogram_quantile(0.99, sum by (le) (rate(hypervisord_store_commit_seconds_bucket{SELECT}[$__rate_interval])))`, "99 %"},
			{`max(hypervisord_store_read_seconds{SELECT})`, "a read"},
		}},
		{"Transactions", "", series, "ops", 8, []query{
			{`sum by (result) (rate(hypervisord_store_commits_total{SELECT}[$__rate_interval]))`, "{{result}}"},
		}},
		{"Updates that share a transaction", "", series, "short", 8, []query{
			{`sum(rate(hypervisord_store_updates_total{SELECT}[$__rate_interval])) / sum(rate(hypervisord_store_commits_total{SELECT}[$__rate_interval]))`, "updates"},
		}},
	}},
	{"Process", []panel{
		{"Memory", "", series, "bytes", 6, []query{
			{`hypervisord_memory_bytes{SELECT}`, "{{instance}} Go runtime"},
			{`process_resident_memory_bytes{SELECT} and on (instance) hypervisord_build_info`, "{{instance}} resident"},
		}},
		{"Goroutines", "", series, "short", 6, []query{{`hypervisord_goroutines{SELECT}`, "{{instance}}"}}},
		{"Free space", "", series, "bytes", 6, []query{{`hypervisord_disk_free_bytes{SELECT}`, "{{instance}} {{purpose}}"}}},
		{"Running since, version", "", series, "s", 6, []query{
			{`hypervisord_uptime_seconds{SELECT} * on (instance) group_left (version) hypervisord_build_info`, "{{instance}} {{version}}"},
		}},
	}},
}
