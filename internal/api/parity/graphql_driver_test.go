package parity_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
)

// graphqlDriver makes calls by POST /graphql; streams come as server-sent events.
type graphqlDriver struct {
	url    string
	client *http.Client
}

func newGraphQL(t *testing.T, addr string) *graphqlDriver {
	t.Helper()
	d := &graphqlDriver{url: "http://" + addr + "/graphql", client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(d.client.CloseIdleConnections)
	return d
}

func (*graphqlDriver) door() string { return "graphql" }

// The selections that hold all that REST shows.
const (
	failureFields  = `{kind code message fix}`
	artifactFields = `{name url path format bytes sha256}`
	jobFields      = `{id tenant spec status priority waitReason paused attempt maxAttempts node submittedAt startedAt finishedAt:completedAt notBefore
		progress:progressDetail{phase percent bytesRead bytesTotal bytesWritten bytesSkippedZero bytesTransferred rateBytesPerSecond etaSeconds limitedBy updatedAt
			disks{key name transport bytesRead bytesTotal rateBytesPerSecond etaSeconds done}}
		error:failure` + failureFields + ` cancelReason artifacts` + artifactFields + ` artifactsRemovedAt receipt
		steps{id type status attempt startedAt finishedAt reason error` + failureFields + ` artifacts` + artifactFields + `}}`
	vmFields = `{provider id path name uuid biosUuid powerState host datastore firmware secureBoot guestId guestName cpus memoryMb hardware cbt snapshots created
		disks{key label capacityBytes usedBytes uuid datastore path backing mode thin controller bus unit changeId} nics{label type mac network} blockers{code message fix fatal}}`
	keyFields      = `{id tenant name prefix role scopes createdBy createdAt expiresAt revokedAt lastUsedAt}`
	newKeyFields   = `{secret key` + keyFields + `}`
	tenantFields   = `{id name state paused weight maxConcurrentJobs maxQueuedJobs maxStorageGb maxBandwidthMbps storedBytes createdAt}`
	profileFields  = `{id name description extends source defaults updatedAt problem text}`
	scheduleFields = `{id tenant spec nextRuns queued lastRun lastJobs lastError` + failureFields + ` createdAt updatedAt}`
	runFields      = `{time outcome manual at jobIds missed error` + failureFields + `}`
	submitFields   = `{jobs{id} errors{index error{code message fix}} replayed}`
	webhookFields  = `{id tenant spec enabled disabledReason secrets{id createdAt expiresAt} health{circuitBreaker openUntil holdUntil failures successes failingSince lastAttemptAt lastSuccessAt lastStatus lastError}
		pending problem createdAt updatedAt}`
	deliveryFields = `{id type eventSeq jobId status attempts nextAttemptAt createdAt finishedAt lastStatus lastError payload log{number at durationSeconds status error}}`
	entryFields    = `{pos id timestamp event tenant actor{type id ip} resource{type id vm} action result requestId traceId metadata}`
	lineFields     = `{pos hash leaf hidden checkpoint}`
	checkFields    = `{size root time node note}`
	pageFields     = `pageInfo{hasNextPage endCursor} nodes` + jobFields
)

// fields says how an operation is asked of GraphQL: its variables are those of the
// call, by the same names in camelCase.
var fields = map[string]string{
	"submit_jobs":       `mutation($input: [JobInput!]!, $key: String){v:submitJobs(input:$input, idempotencyKey:$key)` + submitFields + `}`,
	"submit_text":       `mutation($text: String!, $key: String){v:submitText(text:$text, idempotencyKey:$key)` + submitFields + `}`,
	"query_jobs":        `query($filter: JobFilter, $limit: Int, $cursor: String){v:jobsConnection(filter:$filter, first:$limit, after:$cursor){totalCount totalIsLeast ` + pageFields + `}}`,
	"list_jobs":         `query($filter: JobFilter, $limit: Int, $cursor: String){v:jobsConnection(filter:$filter, first:$limit, after:$cursor){` + pageFields + `}}`,
	"get_job":           `query($id: ID!){v:job(id:$id)` + jobFields + `}`,
	"get_receipt":       `query($id: ID!){v:receipt(id:$id)}`,
	"job_events":        `subscription($id: ID!){v:jobEvents(id:$id){seq pos jobId tenant kind actor time data}}`,
	"stream_events":     `subscription($after: Int64, $once: Boolean, $kinds: [String!]){v:events(after:$after, once:$once, kinds:$kinds){seq pos jobId tenant kind actor time data}}`,
	"cancel_job":        `mutation($list: [ID!]!, $id: ID!, $reason: String){v:cancelJobs(ids:$list, reason:$reason){jobId outcome status} again:cancelJob(id:$id){id}}`,
	"cancel_jobs":       `mutation($jobIds: [ID!]!, $reason: String){v:cancelJobs(ids:$jobIds, reason:$reason){jobId outcome status error{code message fix}}}`,
	"explain_job":       `query($id: ID!){v:explain(id:$id){jobId status reason message nextClaim estimatedStart ahead aheadIsLeast workersSize workersBusy tenantRunning tenantLimit waitingSince notBefore remedy{action tenant to n at}}}`,
	"update_job":        `mutation($id: ID!, $priority: Priority!){v:setJobPriority(id:$id, priority:$priority)` + jobFields + `}`,
	"pause_job":         `mutation($id: ID!, $reason: String){v:pauseJob(id:$id, reason:$reason)` + jobFields + `}`,
	"resume_job":        `mutation($id: ID!){v:resumeJob(id:$id)` + jobFields + `}`,
	"retry_job":         `mutation($id: ID!){v:retryJob(id:$id)` + jobFields + `}`,
	"bulk_jobs":         `mutation($action: BulkAction!, $filter: JobFilter!, $priority: Priority, $reason: String, $dryRun: Boolean){v:bulkJobs(action:$action, filter:$filter, priority:$priority, reason:$reason, dryRun:$dryRun){dryRun matched more changed unchanged failed errors{jobId error` + failureFields + `}}}`,
	"set_job_bandwidth": `mutation($id: ID!, $bandwidthLimit: String, $bandwidthWindows: [String!]){v:setJobBandwidth(id:$id, limit:$bandwidthLimit, windows:$bandwidthWindows)` + jobFields + `}`,
	"list_profiles":     `{v:profiles` + profileFields + `}`,
	"get_profile":       `query($id: ID!){v:profile(id:$id)` + profileFields + `}`,
	"put_profile":       `mutation($id: ID!, $text: String!){v:putProfile(id:$id, text:$text)` + profileFields + `}`,
	"delete_profile":    `mutation($id: ID!){v:deleteProfile(id:$id)` + profileFields + `}`,
	"render_profile":    `query($id: ID!, $spec: JobInput){v:renderProfile(id:$id, spec:$spec){profile chain digest spec}}`,
	"list_schedules":    `query($limit: Int, $cursor: String){v:schedules(first:$limit, after:$cursor){nodes` + scheduleFields + ` pageInfo{endCursor}}}`,
	"create_schedule":   `mutation($input: ScheduleInput!){v:createSchedule(input:$input)` + scheduleFields + `}`,
	"get_schedule":      `query($id: ID!){v:schedule(id:$id)` + scheduleFields + `}`,
	"set_schedule":      `mutation($id: ID!, $input: ScheduleInput!){v:setSchedule(id:$id, input:$input)` + scheduleFields + `}`,
	"delete_schedule":   `mutation($id: ID!){deleteSchedule(id:$id)}`,
	"schedule_runs":     `query($id: ID!){v:scheduleRuns(id:$id)` + runFields + `}`,
	"pause_schedule":    `mutation($id: ID!){v:pauseSchedule(id:$id)` + scheduleFields + `}`,
	"resume_schedule":   `mutation($id: ID!){v:resumeSchedule(id:$id)` + scheduleFields + `}`,
	"run_schedule":      `mutation($id: ID!){v:runSchedule(id:$id)` + runFields + `}`,
	"run_retention":     `mutation($dryRun: Boolean){v:runRetention(dryRun:$dryRun){dryRun jobs artifacts bytes keptCount more removed{jobId tenant vmPath path bytes reason} kept{jobId tenant vmPath path bytes reason}}}`,
	"list_nodes":        `{v:nodes{id host url version state workers busy startedAt lastSeen}}`,
	"list_vms":          `query($provider: Provider, $path: [String!]){v:vms(provider:$provider, path:$path)` + vmFields + `}`,
	"get_vm":            `query($id: String!, $provider: Provider){v:vm(id:$id, provider:$provider)` + vmFields + `}`,
	"get_status":        `{v:status{version uptimeSeconds jobs{status count} workers{size busy min max reason} oldestWaitSeconds}}`,
	"get_whoami":        `{v:whoami{actor tenant permissions}}`,
	"list_keys":         `{v:keys` + keyFields + `}`,
	"create_key":        `mutation($input: KeyInput!){v:createKey(input:$input)` + newKeyFields + `}`,
	"revoke_key":        `mutation($id: ID!){v:revokeKey(id:$id)` + keyFields + `}`,
	"rotate_key":        `mutation($id: ID!, $overlap: String){v:rotateKey(id:$id, overlap:$overlap)` + newKeyFields + `}`,
	"list_tenant_keys":  `query($id: ID!){v:keys(tenant:$id)` + keyFields + `}`,
	"create_tenant_key": `mutation($id: ID!, $input: KeyInput!){v:createKey(tenant:$id, input:$input)` + newKeyFields + `}`,
	"revoke_tenant_key": `mutation($id: ID!, $keyId: ID!){v:revokeKey(tenant:$id, id:$keyId)` + keyFields + `}`,
	"list_tenants":      `{v:tenants` + tenantFields + `}`,
	"create_tenant":     `mutation($id: ID!, $input: TenantInput){v:createTenant(id:$id, input:$input)` + tenantFields + `}`,
	"get_tenant":        `query($id: ID!){v:tenant(id:$id)` + tenantFields + `}`,
	"change_tenant":     `mutation($id: ID!, $input: TenantInput!){v:changeTenant(id:$id, input:$input)` + tenantFields + `}`,
	"delete_tenant":     `mutation($id: ID!){v:deleteTenant(id:$id)` + tenantFields + `}`,
	"pause_tenant":      `mutation($id: ID!){v:pauseTenant(id:$id)` + tenantFields + `}`,
	"resume_tenant":     `mutation($id: ID!){v:resumeTenant(id:$id)` + tenantFields + `}`,
	"list_webhooks":     `query($limit: Int, $cursor: String){v:webhooks(first:$limit, after:$cursor){nodes` + webhookFields + ` pageInfo{endCursor}}}`,
	"create_webhook":    `mutation($input: WebhookInput!){v:createWebhook(input:$input){secret webhook` + webhookFields + `}}`,
	"get_webhook":       `query($id: ID!){v:webhook(id:$id)` + webhookFields + `}`,
	"set_webhook":       `mutation($id: ID!, $input: WebhookInput!){v:setWebhook(id:$id, input:$input)` + webhookFields + `}`,
	"delete_webhook":    `mutation($id: ID!){deleteWebhook(id:$id)}`,
	"enable_webhook":    `mutation($id: ID!){v:enableWebhook(id:$id)` + webhookFields + `}`,
	"disable_webhook":   `mutation($id: ID!){v:disableWebhook(id:$id)` + webhookFields + `}`,
	"rotate_webhook":    `mutation($id: ID!, $overlap: String){v:rotateWebhook(id:$id, overlap:$overlap){secret webhook` + webhookFields + `}}`,
	"test_webhook":      `mutation($id: ID!){v:testWebhook(id:$id)` + deliveryFields + `}`,
	"replay_webhook":    `mutation($id: ID!, $since: DateTime!){v:replayWebhook(id:$id, since:$since)}`,
	"list_deliveries":   `query($id: ID!, $status: DeliveryStatus, $limit: Int, $cursor: String){v:deliveries(webhook:$id, status:$status, first:$limit, after:$cursor){nodes` + deliveryFields + ` pageInfo{endCursor}}}`,
	"get_delivery":      `query($id: ID!, $keyId: ID!){v:delivery(webhook:$id, id:$keyId)` + deliveryFields + `}`,
	"resend_delivery":   `mutation($id: ID!, $keyId: ID!){v:resendDelivery(webhook:$id, id:$keyId)` + deliveryFields + `}`,
	"list_audit":        `query($tenant: ID, $event: String, $actor: String, $resource: String, $since: DateTime, $until: DateTime, $limit: Int, $cursor: String){v:audit(tenant:$tenant, event:$event, actor:$actor, resource:$resource, since:$since, until:$until, first:$limit, after:$cursor){nodes` + entryFields + ` pageInfo{endCursor}}}`,
	"export_audit":      `query($after: Int64, $limit: Int){v:auditLog(after:$after, first:$limit)` + lineFields + `}`,
	"audit_checkpoint":  `{v:auditCheckpoint` + checkFields + `}`,
	"audit_proof":       `query($id: Int64!){v:auditProof(pos:$id){entry` + lineFields + ` hashes checkpoint` + checkFields + `}}`,
	"list_audit_sinks":  `{v:auditSinks{name kind state pos lagEntries lagSeconds lastTakenAt failures lastError node}}`,
	"audit_consistency": `query($from: Int64!){v:auditConsistency(from:$from){from root hashes checkpoint` + checkFields + `}}`,
	"tenant_usage":      `query($id: ID!, $from: String, $to: String){v:usage(tenant:$id, from:$from, to:$to){tenant months{month jobsCompleted jobsFailed jobsCancelled bytesRead bytesTransferred bytesStored seconds}}}`,
}

func (*graphqlDriver) lacks(op string) string {
	if _, ok := fields[op]; ok {
		return ""
	}
	switch op {
	case "get_health", "get_livez", "get_readyz", "metrics":
		return "it is for machines that know no GraphQL"
	case "socket":
		return "it is a WebSocket of its own"
	case "get_auth_config":
		return "it is asked before a door is chosen"
	case "openapi", "workflow_schema", "job_schema", "profile_schema", "config_schema", "get_startupz":
		return "introspection tells of the schema"
	}
	return "UNKNOWN: add it to fields"
}

func (d *graphqlDriver) do(t *testing.T, c call) outcome {
	t.Helper()
	op, vars := d.variables(c)
	accept := "application/json"
	if strings.HasPrefix(fields[op], "subscription") {
		accept = "text/event-stream"
	}
	ask := fields[op]
	if c.idempotent != "" && op == "cancel_job" { // a key stands for one mutation
		ask = strings.NewReplacer("$id: ID!, ", "", "again:cancelJob(id:$id){id}", "").Replace(ask)
		delete(vars, "id")
	}
	body, err := json.Marshal(map[string]any{"query": ask, "variables": vars})
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url, bytes.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", accept)
	if c.secret != "" {
		req.Header.Set("Authorization", "Bearer "+c.secret)
	}
	if c.idempotent != "" {
		req.Header.Set("Idempotency-Key", c.idempotent)
	}
	res, err := d.client.Do(req)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return d.stream(t, text)
	}
	out := d.outcome(t, text)
	out.replayed = res.Header.Get("Idempotent-Replayed") == "true"
	if out.kind == "" {
		out.value = valueOf[c.op](out.value)
	}
	return out
}

// variables says the call in camelCase.
func (*graphqlDriver) variables(c call) (op string, vars map[string]any) {
	vars = map[string]any{"id": c.id, "keyId": c.key, "key": c.idempotent, "list": []string{c.id}}
	in, _ := camel(c.body).(map[string]any)
	switch op = c.op; op {
	case "submit_jobs":
		vars["input"] = []any{in}
		if list, several := in["jobs"]; several {
			vars["input"] = list
		}
		if c.text != "" {
			return "submit_text", map[string]any{"text": c.text, "key": c.idempotent}
		}
	case "create_tenant":
		vars["id"] = in["id"]
		delete(in, "id")
		vars["input"] = in
	case "query_jobs", "list_jobs":
		for name, v := range c.query {
			if text, ok := v.(string); ok && (name == "status" || name == "priority") {
				v = strings.Split(text, ",")
			}
			in[name] = v
		}
		vars["limit"], vars["cursor"] = in["limit"], in["cursor"]
		delete(in, "limit")
		delete(in, "cursor")
		vars["filter"] = filterOf(in)
	case "stream_events":
		maps.Copy(vars, c.query)
		if kind, ok := c.query["kind"]; ok {
			vars["kinds"] = []any{kind}
		}
	case "create_webhook", "set_webhook":
		if in["format"] != nil {
			in["format"] = upper(in["format"])
		}
		vars["input"] = in
	case "list_deliveries":
		maps.Copy(vars, c.query)
		if c.query["status"] != nil {
			vars["status"] = upper(c.query["status"])
		}
	case "bulk_jobs":
		maps.Copy(vars, in)
		vars["action"] = upper(in["action"])
		vars["priority"] = upper(in["priority"])
		filter, _ := in["filter"].(map[string]any)
		vars["filter"] = filterOf(filter)
	default:
		vars["input"] = in
		maps.Copy(vars, in)
		maps.Copy(vars, c.query)
	}
	if c.text != "" {
		vars["text"] = c.text
	}
	return op, vars
}

// filterOf is JobFilter.
func filterOf(in map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range in {
		switch name {
		case "jobIds":
			out["ids"] = v
		case "status", "priority":
			out[name] = upper(v)
		default:
			out[name] = v
		}
	}
	return out
}

// upper writes enums as GraphQL does.
func upper(v any) any {
	switch v := v.(type) {
	case string:
		return strings.ToUpper(v)
	case []string:
		out := make([]any, len(v))
		for i := range v {
			out[i] = strings.ToUpper(v[i])
		}
		return out
	}
	return v
}

// camel renames the keys of a body and writes its enums as GraphQL does; labels
// stay.
func camel(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, e := range v {
			to := ""
			for i, part := range strings.Split(name, "_") {
				if i > 0 {
					part = strings.ToUpper(part[:1]) + part[1:]
				}
				to += part
			}
			switch name {
			case "labels":
			case "priority", "role", "catch_up":
				e = upper(e)
			case "overlap": // of a schedule; that of a rotation stays alone
				if len(v) > 1 {
					e = upper(e)
				}
			default:
				e = camel(e)
			}
			out[to] = e
		}
		return out
	case []map[string]any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = camel(v[i])
		}
		return out
	}
	return v
}

func (d *graphqlDriver) outcome(t *testing.T, text []byte) outcome {
	t.Helper()
	var r struct {
		Data   json.RawMessage `json:"data"`
		Errors []struct {
			Message    string `json:"message"`
			Extensions struct {
				Code   string `json:"code"`
				Kind   string `json:"kind"`
				Fix    string `json:"fix"`
				Errors []struct {
					Error struct {
						Code string `json:"code"`
					} `json:"error"`
				} `json:"errors"`
			} `json:"extensions"`
		} `json:"errors"`
	}
	must(t, json.Unmarshal(text, &r))
	if len(r.Errors) == 0 {
		dec := json.NewDecoder(bytes.NewReader(r.Data))
		dec.UseNumber()
		var v map[string]any
		must(t, dec.Decode(&v))
		return outcome{value: v["v"]}
	}
	e := r.Errors[0]
	out := outcome{kind: e.Extensions.Kind, code: e.Extensions.Code, message: e.Message, fix: e.Extensions.Fix}
	for _, item := range e.Extensions.Errors {
		out.items = append(out.items, item.Error.Code)
	}
	return out
}

// stream reads the answers of a subscription that ended.
func (d *graphqlDriver) stream(t *testing.T, text []byte) outcome {
	t.Helper()
	all := []any{}
	for message := range strings.SplitSeq(string(text), "\n\n") {
		_, data, ok := strings.Cut(message, "event: next\ndata: ")
		if !ok {
			continue
		}
		one := d.outcome(t, []byte(data))
		if one.kind != "" {
			return one
		}
		all = append(all, snake(one.value))
	}
	if !strings.Contains(string(text), "event: complete") {
		t.Errorf("the stream broke off: %s", text)
	}
	return outcome{value: all}
}

// snake renames the keys of an answer and writes enums as REST does. What is JSON
// of REST stays.
func snake(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, e := range v {
			var to strings.Builder
			for _, r := range name {
				if r >= 'A' && r <= 'Z' {
					to.WriteByte('_')
					r += 'a' - 'A'
				}
				to.WriteRune(r)
			}
			switch text, isText := e.(string); {
			case name == "spec", name == "defaults", name == "receipt", name == "data", name == "metadata":
			case isText && (name == "status" || name == "priority" || name == "role" || name == "state" || name == "outcome" || name == "to" || name == "circuitBreaker"):
				e = strings.ToLower(text)
			default:
				e = snake(e)
			}
			out[to.String()] = e
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = snake(v[i])
		}
		return out
	}
	return v
}

// at is a part of an answer.
func at(v any, name string) any {
	m, _ := v.(map[string]any)
	return m[name]
}

// under puts a list where REST has it.
func under(name string) func(any) any {
	return func(v any) any { return map[string]any{name: snake(v)} }
}

// flat lifts the parts of an error beside the rest.
func flat(all any, key string) []any {
	list, _ := snake(all).([]any)
	out := make([]any, len(list))
	for i, v := range list {
		one := map[string]any{key: at(v, key)}
		if e, ok := at(v, "error").(map[string]any); ok {
			for _, name := range []string{"code", "message", "fix"} {
				one[name] = e[name]
			}
		}
		out[i] = one
	}
	return out
}

// valueOf makes the body of REST's answer, by operation.
var valueOf = map[string]func(v any) any{}

func init() { //nolint:gochecknoinits // a table that refers to the one above
	for op := range fields {
		valueOf[op] = snake
	}
	for _, op := range []string{"list_profiles", "schedule_runs", "list_nodes", "list_vms", "list_keys", "list_tenant_keys", "list_tenants", "export_audit", "list_audit_sinks"} {
		valueOf[op] = under("items")
	}
	for _, op := range []string{"delete_schedule", "delete_webhook"} {
		valueOf[op] = func(any) any { return nil }
	}
	for _, op := range []string{"list_schedules", "list_webhooks", "list_deliveries"} {
		valueOf[op] = func(v any) any {
			return map[string]any{"items": snake(at(v, "nodes")), "next_cursor": at(at(v, "pageInfo"), "endCursor")}
		}
	}
	valueOf["list_audit"] = func(v any) any {
		out := map[string]any{"items": snake(at(v, "nodes"))}
		if next, ok := at(at(v, "pageInfo"), "endCursor").(string); ok {
			out["next_cursor"] = json.Number(next)
		}
		return out
	}
	valueOf["replay_webhook"] = func(v any) any { return map[string]any{"deliveries": v} }
	valueOf["get_receipt"] = func(v any) any { return v }
	valueOf["submit_jobs"] = submittedOf
	valueOf["query_jobs"] = func(v any) any {
		return map[string]any{"jobs": snake(at(v, "nodes")), "total": at(v, "totalCount"), "total_is_least": at(v, "totalIsLeast"), "next_cursor": nextOf(v)}
	}
	valueOf["list_jobs"] = func(v any) any { return map[string]any{"items": snake(at(v, "nodes")), "next_cursor": nextOf(v)} }
	valueOf["cancel_job"] = func(v any) any {
		list, _ := snake(v).([]any)
		return list[0]
	}
	valueOf["cancel_jobs"] = cancelledOf
	valueOf["bulk_jobs"] = func(v any) any {
		out, _ := snake(v).(map[string]any)
		out["errors"] = flat(at(v, "errors"), "job_id")
		return out
	}
	valueOf["explain_job"] = explainedOf
	valueOf["get_status"] = func(v any) any {
		out, _ := snake(v).(map[string]any)
		jobs := map[string]any{}
		list, _ := out["jobs"].([]any)
		for _, one := range list {
			jobs[at(one, "status").(string)] = at(one, "count")
		}
		out["jobs"] = jobs
		return out
	}
}

func nextOf(v any) any {
	if page := at(v, "pageInfo"); at(page, "hasNextPage") == true {
		return at(page, "endCursor")
	}
	return nil
}

func submittedOf(v any) any {
	ids := []any{}
	jobs, _ := at(v, "jobs").([]any)
	for _, j := range jobs {
		ids = append(ids, at(j, "id"))
	}
	refused := flat(at(v, "errors"), "index")
	return map[string]any{
		"job_ids": ids, "accepted": number(len(ids)), "rejected": number(len(refused)), "errors": refused, "replayed": at(v, "replayed"),
	}
}

func cancelledOf(v any) any {
	failed := 0
	list, _ := snake(v).([]any)
	for _, one := range list {
		if at(one, "error") != nil {
			failed++
		}
	}
	return map[string]any{"results": list, "failed": number(failed)}
}

func explainedOf(v any) any {
	out, _ := snake(v).(map[string]any)
	detail := map[string]any{}
	for _, name := range []string{"workers_size", "workers_busy", "tenant_running", "tenant_limit", "ahead", "ahead_is_least", "waiting_since", "not_before"} {
		detail[name] = out[name]
		delete(out, name)
	}
	out["detail"] = detail
	return out
}

func number(n int) json.Number {
	text, _ := json.Marshal(n) // never fails
	return json.Number(text)
}
