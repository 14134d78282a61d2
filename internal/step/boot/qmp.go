package boot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// qmpTime bounds the talk with QEMU's monitor.
const qmpTime = 10 * time.Second

// maxScreen bounds a screenshot.
const maxScreen = 16 << 20

// screenshot asks QEMU to write its screen as a PNG to path, and reads it.
func screenshot(ctx context.Context, socket, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, qmpTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	defer conn.Close() //nolint:errcheck // nothing follows
	if err := conn.SetDeadline(time.Now().Add(qmpTime)); err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	answers := json.NewDecoder(io.LimitReader(conn, 1<<20))
	for _, command := range []any{
		map[string]any{"execute": "qmp_capabilities"},
		map[string]any{"execute": "screendump", "arguments": map[string]string{"filename": path, "format": "png"}},
	} {
		if err := ask(conn, answers, command); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("screen: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxScreen))
	return text, errors.Join(err, f.Close())
}

// ask sends a command and waits for its answer; greetings and events pass by.
func ask(w io.Writer, answers *json.Decoder, command any) error {
	if err := json.NewEncoder(w).Encode(command); err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	for {
		var a struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := answers.Decode(&a); err != nil {
			return fmt.Errorf("monitor: %w", err)
		}
		switch {
		case a.Error != nil:
			return fmt.Errorf("monitor: %s", a.Error.Desc)
		case a.Return != nil:
			return nil
		}
	}
}
