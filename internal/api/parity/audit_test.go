package parity_test

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/hypersdk/hypersdk/internal/tenant"
)

// ours asks for the entries of the tenant alone: the log is one of all.
func ours(q obj) func(o objects) call {
	return func(o objects) call {
		all := obj{"tenant": string(o.tenant)}
		maps.Copy(all, q)
		return call{query: all}
	}
}

func entries(n int) func(objects, any) bool {
	return func(_ objects, v any) bool { return len(field(v, "items").([]any)) == n }
}

func thePlace(o objects) call { return call{id: strconv.FormatInt(o.pos, 10)} }

var auditScenarios = []scenario{
	{name: "audit", op: "list_audit", call: ours(nil), check: entries(2)},
	{name: "audit by an admin", op: "list_audit", role: tenant.Admin, call: nil, check: entries(2)},
	{name: "audit of some", op: "list_audit", call: ours(obj{"event": "key.", "actor": "root", "since": "2026-01-01T00:00:00Z", "until": "2999-01-01T00:00:00Z", "limit": 1}),
		check: entries(1)},
	{name: "audit of a resource", op: "list_audit", call: func(o objects) call { return call{query: obj{"resource": "tenant:" + string(o.tenant)}} }, check: entries(1)},
	{name: "audit, next page", op: "list_audit", call: func(o objects) call {
		return call{query: obj{"tenant": string(o.tenant), "cursor": strconv.FormatInt(o.pos, 10), "limit": 1}}
	}, check: entries(1)},
	{name: "log", op: "export_audit", role: tenant.Admin, call: func(o objects) call { return call{query: obj{"after": o.pos - 1, "limit": 1}} },
		check: func(o objects, v any) bool {
			one := field(v, "items").([]any)[0]
			return fmt.Sprint(field(one, "pos")) == strconv.FormatInt(o.pos, 10) && strings.Contains(show(field(one, "leaf")), string(o.tenant))
		}},
	{name: "log of others", op: "export_audit", role: tenant.Admin, call: query(obj{"after": 0, "limit": 1}),
		check: func(_ objects, v any) bool {
			one := field(v, "items").([]any)[0]
			return field(one, "hidden") == true && (field(one, "leaf") == nil || field(one, "leaf") == "")
		}},
	{name: "checkpoint", op: "audit_checkpoint", check: func(_ objects, v any) bool {
		return strings.HasPrefix(show(field(v, "note")), `"hypervisord audit log`)
	}},
	{name: "proof", op: "audit_proof", call: thePlace, check: func(_ objects, v any) bool { return len(field(v, "hashes").([]any)) > 0 }},
	{name: "consistency", op: "audit_consistency", call: query(obj{"from": 2}), check: func(_ objects, v any) bool { return len(field(v, "hashes").([]any)) > 0 }},

	{name: "sinks", op: "list_audit_sinks", check: func(_ objects, v any) bool {
		all := field(v, "items").([]any)
		return len(all) == 1 && field(all[0], "name") == "archive" && field(all[0], "state") == "failing" && strings.Contains(show(field(all[0], "last_error")), "HX-TEST-001")
	}},

	{name: "sinks of nobody", op: "list_audit_sinks", strange: anonymous, kind: "unauthenticated"},
	{name: "an admin's sinks", op: "list_audit_sinks", role: tenant.Admin, kind: "denied", code: "HX-AUTH-002"},
	{name: "audit of nobody", op: "list_audit", strange: anonymous, kind: "unauthenticated"},
	{name: "operator audits", op: "list_audit", role: tenant.Operator, kind: "denied", code: "HX-AUTH-002"},
	{name: "viewer exports the log", op: "export_audit", role: tenant.Viewer, kind: "denied", code: "HX-AUTH-002"},
	{name: "a stranger's audit", op: "list_audit", role: tenant.Admin, call: query(obj{"tenant": "default"}), kind: "not_found", code: "HX-TENANT-001"},
	{name: "a stranger's entry", op: "audit_proof", role: tenant.Admin, call: func(objects) call { return call{id: "1"} }, kind: "not_found", code: "HX-AUDIT-008"},
	{name: "no such entry", op: "audit_proof", call: func(objects) call { return call{id: "1000000000"} }, kind: "not_found", code: "HX-AUDIT-008"},
	{name: "a log that never was", op: "audit_consistency", call: query(obj{"from": 1 << 40}), kind: "invalid", code: "HX-AUDIT-007"},
	{name: "no size", op: "audit_consistency", call: query(obj{"from": 0}), kind: "invalid"},
	{name: "limit of the audit", op: "list_audit", call: query(obj{"limit": 1001}), kind: "invalid"},
	{name: "place in the audit", op: "list_audit", call: query(obj{"cursor": "-1"}), kind: "invalid"},
	{name: "limit of the log", op: "export_audit", call: query(obj{"limit": -1}), kind: "invalid"},
	{name: "too often: audit", op: "list_audit", prepare: limited("list_audit"), kind: "exhausted", code: "HX-TEST-004"},
}
