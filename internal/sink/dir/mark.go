package dir

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"regexp"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// markTail is what follows the name and the job in the name of a stage. The mark
// is new for every stage: a job that goes on knows by it whether these are the
// bytes that it wrote, and a run that lost its lease cannot publish the stage of
// the run that took over.
var markTail = regexp.MustCompile(`^([0-9a-f]{12})\.partial$`)

// stem is how the names of all stages of this output and job begin.
func (s *stage) stem() string { return "." + s.name + "." + s.jobID + "." }

// find takes over the stage that an earlier run of the job left here, if there is
// one. A stage that another process holds on to is removed: it has lost its lease,
// and what it still writes goes to files without a name.
func (s *stage) find() error {
	top, err := s.dir.root.Open(".")
	if err != nil {
		return classify(err, s.dir.path)
	}
	names, err := top.Readdirnames(-1)
	if err := errors.Join(err, top.Close()); err != nil {
		return classify(err, s.dir.path)
	}
	for _, name := range names {
		tail, ours := strings.CutPrefix(name, s.stem())
		mark := markTail.FindStringSubmatch(tail)
		if !ours || mark == nil {
			continue
		}
		if s.lock == nil {
			err := s.open(mark[1])
			if err == nil {
				continue
			}
			if !fault.Is(err, fault.Conflict) {
				return err
			}
		}
		if err := s.dir.root.RemoveAll(name); err != nil {
			return errors.Join(classify(err, s.dir.path), s.release())
		}
	}
	return nil
}

// open locks the stage with a mark. Kind Conflict: another process has it.
func (s *stage) open(mark string) (err error) {
	temp := s.stem() + mark + ".partial"
	if s.lock, err = lock(s.dir.root, temp, os.O_RDONLY, s.dir.path); err != nil {
		s.lock = nil
		return err
	}
	if s.files, err = s.dir.root.OpenRoot(temp); err != nil {
		s.files = nil
		return errors.Join(classify(err, s.dir.path), s.release())
	}
	s.mark, s.temp = mark, temp
	return nil
}

// make makes a new stage.
func (s *stage) make() error {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	mark := hex.EncodeToString(b[:])
	if err := s.dir.root.Mkdir(s.stem()+mark+".partial", 0o750); err != nil {
		return classify(err, s.dir.path)
	}
	if err := syncDir(s.dir.root); err != nil {
		return classify(err, s.dir.path)
	}
	err := s.open(mark)
	if fault.Is(err, fault.Conflict) {
		err = fault.Wrap(err, fault.Unavailable, "HX-DST-017", "another process took the staging area in "+s.dir.path+" away", "it is tried again")
	}
	return err
}

// release frees the handles of the stage, if it has any.
func (s *stage) release() error {
	var errs []error
	if s.files != nil {
		errs = append(errs, s.files.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	s.files, s.lock = nil, nil
	return errors.Join(errs...)
}

// Mark implements sink.Marked.
func (s *stage) Mark() string { return s.mark }
