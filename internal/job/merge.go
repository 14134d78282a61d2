package job

import (
	"maps"
	"reflect"
)

// Over returns the spec with what it leaves open taken from base. What it has,
// wins: labels key by key, everything else whole. A key that says the same in
// other words counts as given: verify and verify_checksum, and compress against
// a compression. Zero is not given.
func (s Spec) Over(base Spec) Spec {
	if s.Verify != "" || s.VerifyChecksum != nil {
		base.Verify, base.VerifyChecksum = "", nil
	}
	if s.Compression != "" {
		base.Compress = nil
	}
	labels := maps.Clone(base.Labels)
	if labels == nil {
		labels = s.Labels
	} else {
		maps.Copy(labels, s.Labels)
	}
	own, from := reflect.ValueOf(&s).Elem(), reflect.ValueOf(base)
	for i := range own.NumField() {
		if own.Field(i).IsZero() {
			own.Field(i).Set(from.Field(i))
		}
	}
	s.Labels = labels
	return s
}

// wants tells what a switch says that is on unless told otherwise.
func wants(b *bool) bool { return b == nil || *b }

// Checkpoints tells whether a run leaves checkpoints for the next one.
func (s Spec) Checkpoints() bool { return wants(s.EnableCheckpoints) }

// Manifest tells whether a manifest of checksums belongs to the output: where
// the format has one unless told otherwise, elsewhere if asked for.
func (s Spec) Manifest() bool {
	if s.Format == "ova" || s.Format == "ovf" {
		return wants(s.GenerateManifest)
	}
	return s.GenerateManifest != nil && *s.GenerateManifest
}
