package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A loop that panics begins anew, ever more slowly; an error of its own ends it, and
// so does the end of the daemon.
func TestLoopsBeginAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		log := slog.New(slog.NewTextHandler(&said, nil))
		own := errors.New("own")
		begun, n := time.Now(), 0
		err := again(t.Context(), log, "scheduler", func(context.Context) error {
			if n++; n <= 8 {
				panic("hunter2")
			}
			return own
		})
		if took := time.Since(begun); !errors.Is(err, own) || n != 9 || took != (1+2+4+8+16+32+60+60)*time.Second {
			t.Errorf("%v after %d times and %v", err, n, took)
		}
		if text := said.String(); strings.Count(text, "loop=scheduler") != 8 || !strings.Contains(text, "guard_test.go") || strings.Contains(text, "hunter2") {
			t.Error(text)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Hour, cancel)
		if err := again(ctx, log, "x", func(context.Context) error { panic("x") }); err != nil {
			t.Error(err)
		}
		if err := again(t.Context(), log, "x", func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}
