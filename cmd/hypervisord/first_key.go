package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/term"

	"github.com/hypersdk/hypersdk/internal/secret"
)

// announce shows the API key that this start made, once: to whoever sits at the
// terminal, beside the log, or on standard output if asked to. It never goes where
// it would be kept: in a log, or in the journal.
func announce(key secret.Secret, asked bool, out, log io.Writer) error {
	if key.Empty() {
		return nil
	}
	if asked {
		if isJournal(out) {
			return errors.New("--print-first-key: standard output is the journal, which keeps what it gets; read the key from its file")
		}
		_, err := fmt.Fprintln(out, key.Reveal())
		return err
	}
	if f, ok := log.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, err := fmt.Fprintf(f, "\nThe API key, shown this once: %s\n\n", key.Reveal())
		return err
	}
	return nil
}

// isJournal tells whether systemd reads what is written there: $JOURNAL_STREAM names
// its device and inode.
func isJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return true // nobody knows where it goes
	}
	of, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", of.Dev, of.Ino)
}
