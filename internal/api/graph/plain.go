package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
)

// plain answers a list of jobs of which only leaves are asked for, which is what
// pages of jobs are asked for by: it writes the objects, where the executor would
// make a context and several closures for each field of each job, and a goroutine for
// each job. What it writes is what the executor would. It is an extension of the
// executor.
type plain struct{}

// ExtensionName implements graphql.HandlerExtension.
func (plain) ExtensionName() string { return "plain" }

// Validate implements graphql.HandlerExtension.
func (plain) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptField implements graphql.FieldInterceptor. The executor takes a marshaler
// for the value of any field.
func (plain) InterceptField(ctx context.Context, next graphql.Resolver) (any, error) {
	value, err := next(ctx)
	jobs, ok := value.([]Job)
	if err != nil || !ok {
		return value, err
	}
	fields := graphql.CollectFieldsCtx(ctx, jobImplementors)
	text, ok := appendJobs(make([]byte, 0, len(jobs)*sizeOfJob), jobs, fields)
	if !ok {
		return value, nil
	}
	return graphql.WriterFunc(func(w io.Writer) { _, _ = w.Write(text) }), nil // into a buffer
}

// sizeOfJob is about how long a job is that waits.
const sizeOfJob = 768

// appendJobs writes the list. ok is false if the executor has to.
func appendJobs(b []byte, jobs []Job, fields []graphql.CollectedField) (_ []byte, ok bool) {
	for i := range fields {
		if leaves[fields[i].Name] == nil || len(fields[i].Deferrables) > 0 {
			return nil, false
		}
	}
	b = append(b, '[')
	for i := range jobs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		for k := range fields {
			if k > 0 {
				b = append(b, ',')
			}
			b = append(appendText(b, fields[k].Alias), ':')
			if b, ok = leaves[fields[k].Name](b, &jobs[i]); !ok {
				return nil, false
			}
		}
		b = append(b, '}')
	}
	return append(b, ']'), true
}

// leaf appends one field of a job. ok is false if it has no value that can be
// written.
type leaf func(b []byte, j *Job) (_ []byte, ok bool)

// leaves are the fields of a job that have no fields.
var leaves = map[string]leaf{
	"__typename":   textLeaf(func(*Job) string { return "Job" }),
	"id":           textLeaf(func(j *Job) string { return j.ID }),
	"vmPath":       textLeaf(func(j *Job) string { return j.VMPath() }),
	"status":       textLeaf(func(j *Job) string { return strings.ToUpper(string(j.State)) }),
	"error":        maybeLeaf(func(j *Job) *string { return j.Error() }),
	"tenant":       textLeaf(func(j *Job) string { return j.Tenant }),
	"name":         maybeLeaf(func(j *Job) *string { return j.Name() }),
	"provider":     textLeaf(func(j *Job) string { return j.Provider() }),
	"format":       textLeaf(func(j *Job) string { return j.Format() }),
	"outputPath":   maybeLeaf(func(j *Job) *string { return j.OutputPath() }),
	"priority":     textLeaf(func(j *Job) string { return strings.ToUpper(string(j.Priority)) }),
	"waitReason":   maybeLeaf(func(j *Job) *string { return j.WaitReason() }),
	"node":         maybeLeaf(func(j *Job) *string { return j.Node() }),
	"host":         textLeaf(func(j *Job) string { return j.Host }),
	"cancelReason": maybeLeaf(func(j *Job) *string { return j.CancelReason() }),

	"paused":      func(b []byte, j *Job) ([]byte, bool) { return strconv.AppendBool(b, j.Paused), true },
	"attempt":     func(b []byte, j *Job) ([]byte, bool) { return strconv.AppendInt(b, int64(j.Attempt), 10), true },
	"maxAttempts": func(b []byte, j *Job) ([]byte, bool) { return strconv.AppendInt(b, int64(j.MaxAttempts), 10), true },
	"progress":    appendPercent,

	"submittedAt":        timeLeaf(func(j *Job) *time.Time { return &j.SubmittedAt }),
	"startedAt":          timeLeaf(func(j *Job) *time.Time { return j.StartedAt }),
	"completedAt":        timeLeaf(func(j *Job) *time.Time { return j.CompletedAt() }),
	"notBefore":          timeLeaf(func(j *Job) *time.Time { return j.NotBefore }),
	"artifactsRemovedAt": timeLeaf(func(j *Job) *time.Time { return j.ArtifactsRemovedAt }),

	"spec":    jsonLeaf(func(j *Job) (any, bool) { return &j.Job.Spec, true }),
	"labels":  jsonLeaf(func(j *Job) (any, bool) { return j.Labels(), j.Labels() != nil }),
	"receipt": appendReceipt,
}

func textLeaf(of func(j *Job) string) leaf {
	return func(b []byte, j *Job) ([]byte, bool) { return appendText(b, of(j)), true }
}

func maybeLeaf(of func(j *Job) *string) leaf {
	return func(b []byte, j *Job) ([]byte, bool) {
		if text := of(j); text != nil {
			return appendText(b, *text), true
		}
		return append(b, "null"...), true
	}
}

func timeLeaf(of func(j *Job) *time.Time) leaf {
	return func(b []byte, j *Job) ([]byte, bool) {
		t := of(j)
		if t == nil {
			return append(b, "null"...), true
		}
		return append(t.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano), '"'), true
	}
}

// jsonLeaf writes what REST shows; present is false for null.
func jsonLeaf(of func(j *Job) (v any, present bool)) leaf {
	return func(b []byte, j *Job) ([]byte, bool) {
		v, present := of(j)
		if !present {
			return append(b, "null"...), true
		}
		text, err := json.Marshal(v)
		return append(b, text...), err == nil
	}
}

func appendReceipt(b []byte, j *Job) ([]byte, bool) {
	if len(j.Receipt) == 0 {
		return append(b, "null"...), true
	}
	return append(b, j.Receipt...), true
}

func appendPercent(b []byte, j *Job) ([]byte, bool) {
	p := j.Progress()
	if p == nil {
		return append(b, "null"...), true
	}
	return strconv.AppendFloat(b, *p, 'g', -1, 64), !math.IsInf(*p, 0) && !math.IsNaN(*p)
}

// appendText writes a text as the executor does.
func appendText(b []byte, text string) []byte {
	b = append(b, '"')
	start := 0
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, text[start:i]...)
		start = i + 1
		switch c {
		case '\t':
			b = append(b, `\t`...)
		case '\r':
			b = append(b, `\r`...)
		case '\n':
			b = append(b, `\n`...)
		case '\\', '"':
			b = append(b, '\\', c)
		default:
			b = fmt.Appendf(b, `\u%04X`, c)
		}
	}
	return append(append(b, text[start:]...), '"')
}
