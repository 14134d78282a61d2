package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWebhookCommands(t *testing.T) {
	_, ctl := daemon(t)
	want := func(code int, text string, args ...string) string {
		t.Helper()
		got, out, errOut := ctl(args...)
		if got != code || !strings.Contains(out+errOut, text) {
			t.Fatalf("%v: exit code %d, want %d with %q:\n%s%s", args, got, code, text, out, errOut)
		}
		return strings.TrimSpace(out)
	}
	file := filepath.Join(t.TempDir(), "ops.yaml")
	put := func(text string) {
		t.Helper()
		must(t, os.WriteFile(file, []byte(text), 0o600))
	}
	put("name: ops\nurl: https://hooks.example.com/T0/canary\n")
	secret := want(0, "not shown again", "webhooks", "create", "-f", file)
	if !strings.HasPrefix(secret, "whsec_") || strings.Contains(secret, "\n") {
		t.Fatalf("%q is not the secret alone", secret)
	}
	want(3, "HX-HOOK-034", "webhooks", "create", "-f", file)
	want(0, "hooks.example.com", "webhooks", "list")
	want(0, "job.completed job.failed job.cancelled", "webhooks", "get", "ops")
	if spec := want(0, `"name": "ops"`, "webhooks", "get", "ops", "--spec"); strings.Contains(spec, "canary") {
		t.Error(spec)
	} else {
		put(strings.Replace(spec, `"ops"`, `"ops2"`, 1))
	}
	want(0, "ops2: enabled", "webhooks", "set", "ops", "-f", file)
	want(0, "ops2: disabled", "webhooks", "disable", "ops2")
	want(0, "disabled: somebody disabled it", "webhooks", "list")
	want(3, "HX-HOOK-038", "webhooks", "test", "ops2")
	want(0, "ops2: enabled", "webhooks", "enable", "ops2")
	if other := want(0, "not shown again", "webhooks", "rotate", "ops2", "--overlap", "1h"); other == secret {
		t.Error("the same secret again")
	}
	want(0, "until", "webhooks", "get", "ops2")
	want(6, "pending", "webhooks", "test", "ops2", "--wait", "1ns") // nobody sends here
	id := strings.Fields(strings.Split(want(0, "webhook.test", "webhooks", "deliveries", "ops2"), "\n")[1])[0]
	want(0, `"type":"webhook.test"`, "webhooks", "delivery", "ops2", id)
	want(0, id+": pending", "webhooks", "resend", "ops2", id)
	want(0, "ops2: 0 deliveries", "webhooks", "replay", "ops2", "--since", "6h")
	want(2, "HX-CLI-010", "webhooks", "replay", "ops2", "--since", "yesterday")
	want(0, "ops2: deleted", "webhooks", "delete", "ops2")
	want(3, "HX-HOOK-032", "webhooks", "get", "ops2")
}
