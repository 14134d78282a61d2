package daemon

import (
	"reflect"

	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/profile"
	"github.com/hypersdk/hypersdk/internal/schema"
	"github.com/hypersdk/hypersdk/internal/step/hyper2kvm"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Schemas makes the JSON Schemas of all files that users write, by name. They are
// committed as docs/schemas, from where the API and hyperctl take them; a test
// compares.
func Schemas() (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, f := range []struct {
		name, title string
		root        reflect.Type
		maker       *schema.Maker
	}{
		{"workflow", "A workflow of hypervisord", reflect.TypeFor[job.Spec](), forJobs(job.WorkflowKeys(), "jobs")},
		{"job", "An export of hypervisord", reflect.TypeFor[job.Spec](), forJobs(exportKeys(), "vm_path")},
		{"profile", "Named defaults for the jobs of hypervisord", profile.Document(), forJobs(nil)},
		{"config", "The configuration of hypervisord", reflect.TypeFor[Config](), forConfig()},
	} {
		text, err := f.maker.Document(f.root, f.name, f.title)
		if err != nil {
			return nil, err
		}
		all[f.name] = text
	}
	return all, nil
}

// exportKeys are the keys of a job that is no workflow.
func exportKeys() (keys []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[job.Spec]()) {
		if name := job.KeyOf(f); name != "jobs" && name != "finally" {
			keys = append(keys, name)
		}
	}
	return keys
}

// forJobs makes schemas of jobs, with these keys (nil: all), some of which must be
// there.
func forJobs(keys []string, needed ...string) *schema.Maker {
	ids := schema.Schema{"type": "array", "items": schema.Schema{"type": "string"}}
	m := &schema.Maker{
		Tag: "json",
		Types: map[reflect.Type]schema.Schema{
			reflect.TypeFor[job.Priority]():  {"type": "string", "enum": []string{"critical", "high", "normal", "low"}},
			reflect.TypeFor[job.Names]():     {"anyOf": []schema.Schema{{"type": "string"}, ids}},
			reflect.TypeFor[job.When]():      {"type": "string", "enum": []job.When{job.OnSuccess, job.OnFailure, job.Always}},
			reflect.TypeFor[job.Ref]():       {"type": "string", "pattern": `^\$[A-Za-z0-9_][A-Za-z0-9_-]{0,62}\.output$`},
			reflect.TypeFor[job.Bandwidth](): {"type": []string{"string", "integer"}, "examples": []string{"50MB"}},
		},
		Fields: map[string]schema.Schema{"Step.type": {"enum": job.StepTypes()}},
		Only:   map[string][]string{},
		Needed: map[string][]string{"Step": {"id", "type"}},
	}
	if keys != nil {
		m.Only["Spec"], m.Needed["Spec"] = keys, needed
	}
	return m
}

func forConfig() *schema.Maker {
	natural := schema.Schema{"minimum": 0}
	workers := schema.Schema{"minimum": 0, "maximum": 256}
	return &schema.Maker{
		Tag: "yaml",
		Types: map[reflect.Type]schema.Schema{
			reflect.TypeFor[Age]():  {"type": []string{"string", "integer"}, "examples": []string{"90d", "12h"}},
			reflect.TypeFor[Size](): {"type": []string{"string", "integer"}, "examples": []string{"100MB", "64MiB"}},
		},
		Fields: map[string]schema.Schema{
			"Config.listen":                      {"examples": []string{"127.0.0.1:8080"}},
			"Config.workers":                     {"minimum": 1, "maximum": 256},
			"Config.min_workers":                 workers,
			"Config.max_workers":                 workers,
			"Config.bandwidth_limit":             {"examples": []string{"200MB", "unlimited"}},
			"QueueConfig.aged_every":             {"minimum": 1},
			"LogConfig.level":                    {"enum": []string{"debug", "info", "warn", "error"}},
			"Config.pages":                       {"enum": []string{pagesLocal, pagesOn, pagesOff}},
			"LogConfig.format":                   {"enum": []string{"json", "text"}},
			"VSphereConfig.connections":          natural,
			"VSphereConfig.host_streams":         natural,
			"VSphereConfig.max_exports_per_host": natural,
			"ArtifactsConfig.max_count_per_vm":   natural,
			"TLSConfig.client_auth":              {"enum": []string{clientAuthOff, clientAuthOptional, clientAuthRequired}},
			"ClientConfig.role":                  {"enum": tenant.Roles()},
			"GrantConfig.role":                   {"enum": tenant.Roles()},
			"LoginConfig.token":                  {"enum": []string{tokenID, tokenAccess}},
			"AuditConfig.sinks":                  {"maxItems": maxSinks},
			"AuditSinkConfig.name":               {"pattern": nameOfSink.String()},
			"FileSinkConfig.fsync":               {"enum": []string{"", "always", fsyncNone}},
			"FileSinkConfig.max_files":           natural,
			"SyslogSinkConfig.format":            {"enum": []string{"", auditsink.FormJSON, auditsink.FormStructured}},
			"SyslogSinkConfig.facility":          {"minimum": 0, "maximum": 23},
			"Hyper2kvmConfig.engine":             {"enum": []string{"", hyper2kvm.EngineHyper2kvm, hyper2kvm.EngineVirtV2V, hyper2kvm.EngineBuiltin}},
		},
	}
}
