package job

import (
	"maps"
	"slices"
	"strings"
)

// Content is what a step takes or makes.
type Content string

// The contents.
const (
	Nothing Content = ""
	Disks   Content = "disks"   // an export on this machine: images and their receipt
	Objects Content = "objects" // an export in an object store
	Any     Content = "any"     // disks or objects
)

// stepType is what is known of a type of step without its executor.
type stepType struct {
	keys     []string // besides those that all steps have
	needs    []string // of keys, and input
	takes    Content
	makes    Content
	optional bool // it runs without an input, too
}

// commonKeys are the keys of every step.
var commonKeys = []string{"id", "type", "depends_on", "when", "retry", "timeout"}

var stepTypes = map[string]stepType{
	"export": {
		keys: []string{"name", "vm_path", "provider", "format", "output_path", "compress", "compression", "compression_level",
			"verify", "transport", "exclude_disks", "power_off", "profile", "profile_digest", "bandwidth_limit", "bandwidth_windows",
			"enable_checkpoints", "verify_checksum", "generate_manifest"},
		needs: []string{"vm_path"}, makes: Disks,
	},
	"convert": {
		keys:  []string{"input", "target_format", "name", "output_path", "compress", "compression", "compression_level", "verify"},
		needs: []string{"input", "target_format"}, takes: Disks, makes: Disks,
	},
	"hyper2kvm": {
		keys:  []string{"input", "target_format", "engine", "name", "output_path", "compress", "compression", "compression_level", "verify"},
		needs: []string{"input", "target_format"}, takes: Disks, makes: Disks,
	},
	"boot":   {keys: []string{"input", "marker", "name", "output_path"}, needs: []string{"input", "marker"}, takes: Disks},
	"verify": {keys: []string{"input"}, needs: []string{"input"}, takes: Disks},
	"upload": {
		keys:  []string{"input", "destination", "overwrite", "verify"},
		needs: []string{"input", "destination"}, takes: Disks, makes: Objects,
	},
	"webhook": {
		keys:  []string{"input", "url", "message"},
		needs: []string{"url"}, takes: Any, optional: true,
	},
}

// StepTypes lists the types of steps.
func StepTypes() []string { return slices.Sorted(maps.Keys(stepTypes)) }

// takesKey tells whether a step of the type has the key. A type that is not known
// has all: what is wrong with it is the type.
func takesKey(typ, key string) bool {
	t, known := stepTypes[typ]
	return !known || slices.Contains(commonKeys, key) || slices.Contains(t.keys, key)
}

// makes is what the step leaves for others.
func (s *Step) makes() Content {
	if s.Type == "upload" && strings.HasPrefix(s.Destination, "file:") {
		return Disks
	}
	return stepTypes[s.Type].makes
}

// isStepID tells whether id is 1 to 63 ASCII letters, digits, dashes and
// underscores, the first one no dash.
func isStepID(id string) bool {
	return id != "" && len(id) <= 63 && id[0] != '-' && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}
