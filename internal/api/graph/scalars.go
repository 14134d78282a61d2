package graph

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// The enums have the values of the service, in upper case. The executor refuses
// a value that the schema does not list.

func marshalEnum[T ~string](v T) graphql.Marshaler {
	return graphql.MarshalString(strings.ToUpper(string(v)))
}

func unmarshalEnum[T ~string](v any) (T, error) {
	text, err := graphql.UnmarshalString(v)
	return T(strings.ToLower(text)), err
}

// MarshalJobStatus writes the enum.
func MarshalJobStatus(v job.State) graphql.Marshaler { return marshalEnum(v) }

// UnmarshalJobStatus reads the enum.
func UnmarshalJobStatus(v any) (job.State, error) { return unmarshalEnum[job.State](v) }

// MarshalPriority writes the enum.
func MarshalPriority(v job.Priority) graphql.Marshaler { return marshalEnum(v) }

// UnmarshalPriority reads the enum.
func UnmarshalPriority(v any) (job.Priority, error) { return unmarshalEnum[job.Priority](v) }

// MarshalStepStatus writes the enum.
func MarshalStepStatus(v job.StepStatus) graphql.Marshaler { return marshalEnum(v) }

// UnmarshalStepStatus reads the enum.
func UnmarshalStepStatus(v any) (job.StepStatus, error) { return unmarshalEnum[job.StepStatus](v) }

// MarshalCancelOutcome writes the enum.
func MarshalCancelOutcome(v service.CancelOutcome) graphql.Marshaler { return marshalEnum(v) }

// UnmarshalCancelOutcome reads the enum.
func UnmarshalCancelOutcome(v any) (service.CancelOutcome, error) {
	return unmarshalEnum[service.CancelOutcome](v)
}

// MarshalBulkAction writes the enum.
func MarshalBulkAction(v service.BulkAction) graphql.Marshaler { return marshalEnum(v) }

// UnmarshalBulkAction reads the enum.
func UnmarshalBulkAction(v any) (service.BulkAction, error) {
	return unmarshalEnum[service.BulkAction](v)
}

// MarshalRole writes the enum.
func MarshalRole(v tenant.Role) graphql.Marshaler { return marshalEnum(v) }

// UnmarshalRole reads the enum.
func UnmarshalRole(v any) (tenant.Role, error) { return unmarshalEnum[tenant.Role](v) }

// MarshalTenantState writes the enum.
func MarshalTenantState(v tenant.State) graphql.Marshaler { return marshalEnum(v) }

// UnmarshalTenantState reads the enum.
func UnmarshalTenantState(v any) (tenant.State, error) { return unmarshalEnum[tenant.State](v) }

// MarshalOverlap writes the enum.
func MarshalOverlap(v schedule.Overlap) graphql.Marshaler { return marshalEnum(v) }

// UnmarshalOverlap reads the enum.
func UnmarshalOverlap(v any) (schedule.Overlap, error) { return unmarshalEnum[schedule.Overlap](v) }

// MarshalCatchUp writes the enum.
func MarshalCatchUp(v schedule.CatchUp) graphql.Marshaler { return marshalEnum(v) }

// UnmarshalCatchUp reads the enum.
func UnmarshalCatchUp(v any) (schedule.CatchUp, error) { return unmarshalEnum[schedule.CatchUp](v) }

// MarshalWebhookFormat writes the enum.
func MarshalWebhookFormat(v webhook.Format) graphql.Marshaler { return marshalEnum(v) }

// UnmarshalWebhookFormat reads the enum.
func UnmarshalWebhookFormat(v any) (webhook.Format, error) { return unmarshalEnum[webhook.Format](v) }

// MarshalBreakerState writes the enum.
func MarshalBreakerState(v webhook.BreakerState) graphql.Marshaler { return marshalEnum(v) }

// UnmarshalBreakerState reads the enum.
func UnmarshalBreakerState(v any) (webhook.BreakerState, error) {
	return unmarshalEnum[webhook.BreakerState](v)
}

// MarshalDeliveryStatus writes the enum.
func MarshalDeliveryStatus(v webhook.State) graphql.Marshaler { return marshalEnum(v) }

// UnmarshalDeliveryStatus reads the enum.
func UnmarshalDeliveryStatus(v any) (webhook.State, error) { return unmarshalEnum[webhook.State](v) }

// MarshalDateTime writes RFC 3339 in UTC.
func MarshalDateTime(v time.Time) graphql.Marshaler {
	return graphql.MarshalString(v.UTC().Format(time.RFC3339Nano))
}

// UnmarshalDateTime reads RFC 3339. Kind Invalid.
func UnmarshalDateTime(v any) (time.Time, error) {
	text, _ := v.(string)
	t, err := time.Parse(time.RFC3339Nano, text)
	return t, fault.Wrap(err, fault.Invalid, codeScalar, "a DateTime is not of the form 2006-01-02T15:04:05Z", fixScalar)
}

// MarshalInt64 writes a number.
func MarshalInt64(v int64) graphql.Marshaler { return graphql.MarshalInt64(v) }

// UnmarshalInt64 reads a whole number. Kind Invalid.
func UnmarshalInt64(v any) (int64, error) {
	n, err := graphql.UnmarshalInt64(v)
	return n, fault.Wrap(err, fault.Invalid, codeScalar, "an Int64 is no whole number of 64 bits", fixScalar)
}

const (
	codeScalar = "HX-GQL-014"
	fixScalar  = "correct the value"
)

// MarshalJSON writes a JSON text as it is.
func MarshalJSON(v json.RawMessage) graphql.Marshaler {
	if len(v) == 0 {
		return graphql.Null
	}
	return graphql.WriterFunc(func(w io.Writer) { _, _ = w.Write(v) }) // into a buffer
}

// UnmarshalJSON refuses: nothing takes a JSON text. Kind Invalid.
func UnmarshalJSON(any) (json.RawMessage, error) {
	return nil, fault.New(fault.Invalid, codeScalar, "JSON is for answers only", fixScalar)
}

// MarshalLabels writes an object of texts.
func MarshalLabels(v map[string]string) graphql.Marshaler {
	text, err := json.Marshal(v)
	if err != nil || v == nil {
		return graphql.Null
	}
	return MarshalJSON(text)
}

// UnmarshalLabels reads an object of texts. Kind Invalid.
func UnmarshalLabels(v any) (map[string]string, error) {
	all, ok := v.(map[string]any)
	labels := make(map[string]string, len(all))
	for name, value := range all {
		var text bool
		labels[name], text = value.(string)
		ok = ok && text
	}
	if !ok {
		return nil, fault.New(fault.Invalid, codeScalar, "Labels are no object of texts", fixScalar)
	}
	return labels, nil
}

// document turns an input object into the JSON document that REST takes: the same
// decoder judges both.
func document(in map[string]any) ([]byte, error) { return json.Marshal(snake(in)) }

// snake renames the keys of input objects; the names of labels stay.
func snake(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[snakeCase(key)] = snake(value)
		}
		return out
	case []map[string]any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = snake(v[i])
		}
		return out
	}
	return v
}

func snakeCase(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// some is a text that may be absent.
func some[T ~string](v T) *T {
	if v == "" {
		return nil
	}
	return &v
}

// listed is a list that is never null.
func listed[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}
