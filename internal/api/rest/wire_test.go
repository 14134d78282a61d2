package rest_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
)

// wire names the schema of each type of the client.
var wire = map[string]reflect.Type{
	"Spec": reflect.TypeFor[client.Spec](), "Job": reflect.TypeFor[client.Job](), "Failure": reflect.TypeFor[client.Failure](),
	"Step": reflect.TypeFor[client.Step](), "RetryPolicy": reflect.TypeFor[client.RetryPolicy](), "StepState": reflect.TypeFor[client.StepState](),
	"Artifact": reflect.TypeFor[client.Artifact](), "Progress": reflect.TypeFor[client.Progress](), "DiskProgress": reflect.TypeFor[client.DiskProgress](),
	"Event": reflect.TypeFor[client.Event](), "EventData": reflect.TypeFor[client.EventData](),
	"QueryInputBody": reflect.TypeFor[client.Query](), "JobPage": reflect.TypeFor[client.Page](),
	"Submitted": reflect.TypeFor[client.Submitted](), "Cancellation": reflect.TypeFor[client.Cancellation](),
	"BulkRequest": reflect.TypeFor[client.BulkRequest](), "BulkFilter": reflect.TypeFor[client.BulkFilter](),
	"BulkResult": reflect.TypeFor[client.BulkResult](), "BulkItem": reflect.TypeFor[client.BulkIssue](),
	"Explanation": reflect.TypeFor[client.Explanation](), "ExplainDetail": reflect.TypeFor[client.ExplainDetail](), "HostWait": reflect.TypeFor[client.HostWait](), "Remedy": reflect.TypeFor[client.Remedy](),
	"Status": reflect.TypeFor[client.Status](), "Workers": reflect.TypeFor[client.Workers](),
	"Health": reflect.TypeFor[client.Health](), "Check": reflect.TypeFor[client.Check](),
	"VM": reflect.TypeFor[client.VM](), "Disk": reflect.TypeFor[client.Disk](), "NIC": reflect.TypeFor[client.NIC](), "Blocker": reflect.TypeFor[client.Blocker](),
	"ScheduleSpec": reflect.TypeFor[client.ScheduleSpec](), "Schedule": reflect.TypeFor[client.Schedule](), "ScheduleRun": reflect.TypeFor[client.ScheduleRun](),
	"WebhookSpec": reflect.TypeFor[client.WebhookSpec](), "Webhook": reflect.TypeFor[client.Webhook](), "WebhookRetry": reflect.TypeFor[client.WebhookRetry](),
	"WebhookBreaker": reflect.TypeFor[client.WebhookBreaker](), "WebhookHealth": reflect.TypeFor[client.WebhookHealth](),
	"WebhookSecret": reflect.TypeFor[client.WebhookSecret](), "NewWebhook": reflect.TypeFor[client.NewWebhook](),
	"Delivery": reflect.TypeFor[client.Delivery](), "DeliveryAttempt": reflect.TypeFor[client.DeliveryAttempt](),
	"RetentionReport": reflect.TypeFor[client.RetentionReport](), "RetainedArtifact": reflect.TypeFor[client.RetainedArtifact](),
	"EventOrigin": reflect.TypeFor[client.Origin](),
	"APIKey":      reflect.TypeFor[client.APIKey](), "KeyRequest": reflect.TypeFor[client.KeyRequest](), "NewKey": reflect.TypeFor[client.NewKey](),
	"Tenant": reflect.TypeFor[client.Tenant](), "TenantChange": reflect.TypeFor[client.TenantChange](), "CreateTenantInputBody": reflect.TypeFor[client.TenantRequest](),
	"UsageReport": reflect.TypeFor[client.UsageReport](), "UsageMonth": reflect.TypeFor[client.UsageMonth](),
	"Profile": reflect.TypeFor[client.Profile](), "Rendered": reflect.TypeFor[client.Rendered](),
	"SignIn": reflect.TypeFor[client.SignIn](), "SignInOIDC": reflect.TypeFor[client.SignInOIDC](), "Identity": reflect.TypeFor[client.Identity](),
	"Problem": reflect.TypeFor[client.Error](), "Item": reflect.TypeFor[client.Issue](),
}

// The client's types are the document's: the same fields, of the same types,
// optional where they are.
func TestClientTypesMatchTheDocument(t *testing.T) {
	d := fetchDocument(t, newWorld(t).server)
	for name, typ := range wire {
		schema := d.at("components", "schemas", name)
		if schema == nil {
			t.Errorf("there is no schema %s", name)
			continue
		}
		properties, _ := schema["properties"].(map[string]any)
		fields := fieldsOf(typ)
		if got, want := slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(properties)); !slices.Equal(got, want) {
			t.Errorf("client.%s has %v, the document %v", typ.Name(), got, want)
			continue
		}
		required, _ := schema["required"].([]any)
		for key, f := range fields {
			if want := kindOf(properties[key].(map[string]any)); want != "" && goKind(f.Type) != want {
				t.Errorf("client.%s.%s is %s, the document says %s", typ.Name(), f.Name, f.Type, want)
			}
			if optional := strings.Contains(f.Tag.Get("json"), ",omit"); optional == slices.Contains(required, any(key)) {
				t.Errorf("client.%s.%s is optional: %v, the document says otherwise", typ.Name(), f.Name, optional)
			}
		}
	}
}

func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); f.IsExported() && name != "-" && !f.Anonymous {
			fields[name] = f
		}
	}
	return fields
}

// kindOf reduces a schema to what a Go type can match: "string", "ref:Name",
// "[]string", "map:integer:int64", or "" for anything.
func kindOf(s map[string]any) string {
	if ref, ok := s["$ref"].(string); ok {
		return "ref:" + ref[strings.LastIndex(ref, "/")+1:]
	}
	typ, _ := s["type"].(string)
	if list, ok := s["type"].([]any); ok {
		typ = list[0].(string)
	}
	format, _ := s["format"].(string)
	switch typ {
	case "array":
		return "[]" + kindOf(s["items"].(map[string]any))
	case "object":
		return "map:" + kindOf(s["additionalProperties"].(map[string]any))
	case "":
		return ""
	}
	return strings.TrimSuffix(typ+":"+format, ":")
}

func goKind(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "string:date-time"
	case t == reflect.TypeFor[json.RawMessage]():
		return ""
	case t.Kind() == reflect.Pointer:
		return goKind(t.Elem())
	case t.Kind() == reflect.Slice:
		return "[]" + goKind(t.Elem())
	case t.Kind() == reflect.Map:
		return "map:" + goKind(t.Elem())
	case t.Kind() == reflect.Struct:
		for name, known := range wire {
			if known == t {
				return "ref:" + name
			}
		}
	}
	return map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer:int64", reflect.Int64: "integer:int64",
		reflect.Int32: "integer:int32", reflect.Float64: "number:double",
	}[t.Kind()]
}
