package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// maxChain is how many profiles one chain may have.
const maxChain = 8

// maxListed is how many ids a message lists.
const maxListed = 20

// Set are the profiles that can be seen together, by id.
type Set map[string]Profile

// Resolved is a profile with all that it extends.
type Resolved struct {
	Profile  Profile
	Chain    []string // ids: the profile itself, then what it extends
	Defaults job.Spec // merged: a nearer profile wins
	Digest   string   // sha256:… of Defaults: changes when the result does
}

// Resolve merges a profile with what it extends. Kind Unprocessable: there is no
// such profile or parent, the profiles extend each other in a circle or too
// deeply, a file is no profile, or the result is nothing that a job can have.
func (s Set) Resolve(id string) (Resolved, error) {
	r := Resolved{}
	for at := id; at != ""; {
		p, ok := s[at]
		switch {
		case !ok && at == id:
			return r, fault.Newf(fault.Unprocessable, "HX-PROFILE-010", s.choices(id), "there is no profile %.80q", id)
		case !ok:
			return r, fault.Newf(fault.Unprocessable, "HX-PROFILE-011", s.choices(at),
				"the profile %s extends %.80q, which is not there", r.Chain[len(r.Chain)-1], at)
		case p.Problem != "":
			return r, fault.Newf(fault.Unprocessable, "HX-PROFILE-012", "correct the file", "the profile %s cannot be used: %s", at, p.Problem)
		case slices.Contains(r.Chain, at):
			return r, fault.Newf(fault.Unprocessable, "HX-PROFILE-013", "break the circle",
				"the profiles extend each other in a circle: %s", strings.Join(append(r.Chain, at), " → "))
		case len(r.Chain) == maxChain:
			return r, fault.Newf(fault.Unprocessable, "HX-PROFILE-014", "join some of them",
				"the profile %s extends more than %d others, one above the other", id, maxChain-1)
		}
		if at == id {
			r.Profile = p
		}
		r.Chain = append(r.Chain, at)
		r.Defaults = r.Defaults.Over(p.Defaults)
		at = p.Extends
	}
	if err := judge(id, r.Defaults); err != nil {
		return r, err
	}
	text, err := json.Marshal(r.Defaults)
	if err != nil {
		return r, fmt.Errorf("digest of a profile: %w", err)
	}
	sum := sha256.Sum256(text)
	r.Digest = "sha256:" + hex.EncodeToString(sum[:])
	return r, nil
}

// choices names what may have been meant.
func (s Set) choices(id string) string {
	if near := job.Nearest(id, maps.Keys(s)); near != "" {
		return "did you mean " + near + "?"
	}
	ids := slices.Sorted(maps.Keys(s))
	switch {
	case len(ids) == 0:
		return "there are no profiles here: make one, or set profiles_dir"
	case len(ids) > maxListed:
		return "for example: " + strings.Join(ids[:maxListed], ", ")
	}
	return "there are: " + strings.Join(ids, ", ")
}

// ApplyStep is Apply for a step of the type export in a workflow.
func (r *Resolved) ApplyStep(s job.Step) (job.Step, error) {
	if err := r.check(s.ProfileDigest); err != nil {
		return s, err
	}
	s = s.Over(r.Defaults)
	s.Profile, s.ProfileDigest = r.Profile.ID, r.Digest
	return s, nil
}

// check refuses a stated digest that is not that of the profile.
func (r *Resolved) check(digest string) error {
	if digest == "" || digest == r.Digest {
		return nil
	}
	return fault.Newf(fault.Conflict, "HX-PROFILE-015", "leave profile_digest out to take the profile as it is",
		"the profile %s has changed: it is %s, not %.100s", r.Profile.ID, r.Digest, digest)
}

// Apply returns the spec over the profile's defaults, with the profile's name and
// digest. A digest that the spec states itself must be that. Kind Conflict.
func (r *Resolved) Apply(s job.Spec) (job.Spec, error) {
	if err := r.check(s.ProfileDigest); err != nil {
		return s, err
	}
	s = s.Over(r.Defaults)
	s.Profile, s.ProfileDigest = r.Profile.ID, r.Digest
	return s, nil
}

// Children lists the ids of the profiles whose chain has the id above them.
func (s Set) Children(id string) []string {
	var children []string
	for _, child := range slices.Sorted(maps.Keys(s)) {
		at := s[child].Extends
		for range maxChain {
			if at == id {
				children = append(children, child)
				break
			}
			at = s[at].Extends
		}
	}
	return children
}
