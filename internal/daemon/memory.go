package daemon

import (
	"bufio"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// settleTime is how long after the start a daemon is taken to be what it will be
// while nobody asks it for anything.
const settleTime = 3 * time.Second

// releaseStart gives back what only the start needed: the garbage of building the
// API document and the schemas, and the pages of the program that ran once
// (registering the types of the vSphere API is most of it). The kernel maps a page
// of the program again from its cache when it is needed. Where that is not to be
// had, nothing is lost.
func releaseStart() {
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close() //nolint:errcheck // only read
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		// address perms offset dev inode pathname: proc_pid_maps(5)
		f := strings.Fields(lines.Text())
		if len(f) != 6 || f[5] != exe || strings.Contains(f[1], "w") {
			continue // what is written has no other copy
		}
		from, to, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
		}
	}
}
