//go:build e2e

// Package e2e proves the three programs from the outside: they run as processes
// against a simulated vCenter in the test, are killed, cut off and deprived of
// their disk, and what they leave is compared with what they said.
//
// `make e2e` runs the short form, `make chaos` (CHAOS=long) the long one. A run
// with chance in it prints its seed; CHAOS_SEED=N repeats it. The power cuts
// need root, for loop-mounted file systems.
package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// tools that the tests use, with the Debian package of each.
var tools = map[string]string{
	"qemu-img": "qemu-utils", "strace": "strace", "python3": "python3",
	"mkfs.ext4": "e2fsprogs", "mkfs.xfs": "xfsprogs", "ip": "iproute2",
}

func TestMain(m *testing.M) {
	child()
	crashChild()
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func prepare() error {
	var errs []error
	for _, name := range []string{"hypervisord", "hyperexport", "hyperctl"} {
		if _, err := os.Stat(program(name)); err != nil {
			errs = append(errs, fmt.Errorf("%w: run `make build` first", err))
		}
	}
	for tool, from := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			errs = append(errs, fmt.Errorf("%w: run `apt-get install %s`", err, from))
		}
	}
	return errors.Join(errs...)
}

// program is the path of a built program: in ../bin, or in E2E_BIN.
func program(name string) string {
	dir := os.Getenv("E2E_BIN")
	if dir == "" {
		dir = filepath.Join("..", "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return name
	}
	return path
}

// long tells whether this is the long form.
func long() bool { return os.Getenv("CHAOS") == "long" }

// size picks the size of a test by its form.
func size(short, longer int) int {
	if long() {
		return longer
	}
	return short
}

// chance returns the source of all chance of a test and prints its seed.
func chance(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("CHAOS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("CHAOS_SEED: %v", err)
		}
	}
	t.Logf("to repeat: CHAOS_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// patience is how long anything may take before it counts as hung; machines that
// run tests are slow and noisy.
const patience = 4 * time.Minute

// eventually asks again and again until cond holds, and ends the test if it never
// does.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("still waiting after %s: %s", patience, what)
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// needRoot ends a test that mounts something, with the reason.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts file systems: run it as root (sudo make chaos)")
	}
}
