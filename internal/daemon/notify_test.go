package daemon

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

// TestSystemdIsTold: ready when the API answers, and when the stop begins.
func TestSystemdIsTold(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "notify"), "@hypervisord-test-" + filepath.Base(t.TempDir())} {
		t.Setenv("NOTIFY_SOCKET", path)
		socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = socket.Close() }()
		told := func() string {
			if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 64)
			n, err := socket.Read(b)
			if err != nil {
				t.Error(err)
			}
			return string(b[:n])
		}
		o := newObserved(t, nil)
		if got := told(); got != "READY=1" {
			t.Errorf("%s: %q", path, got)
		}
		if status, _ := o.ask("GET", "/livez", ""); status != 200 {
			t.Errorf("ready, but %d", status)
		}
		o.stop()
		if got := told(); got != "STOPPING=1" {
			t.Errorf("%s: %q", path, got)
		}
	}
}
