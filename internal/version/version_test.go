package version

import (
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.modified", Value: "true"}}
	for want, info := range map[string]*debug.BuildInfo{
		"devel":                    {Main: debug.Module{Version: "(devel)"}},
		"v1.2.3":                   {Main: debug.Module{Version: "v1.2.3"}},
		"devel-0123456789ab-dirty": {Settings: commit, Main: debug.Module{Version: "v0.0.0-2026"}},
	} {
		if got := of(info); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
