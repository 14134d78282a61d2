package service

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/profile"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// ProfileFiles are the profiles that all tenants see.
type ProfileFiles interface {
	Load() (profile.Set, error)
}

// ProfileReader is the part of Reader about profiles.
type ProfileReader interface {
	// Profiles returns the tenant's own profiles, as they were put.
	Profiles(ctx context.Context) ([]StoredProfile, error)
}

// ProfileTx is the part of Tx about profiles.
type ProfileTx interface {
	// Profiles returns the tenant's own profiles.
	Profiles() ([]StoredProfile, error)
	PutProfile(p StoredProfile) error
	// DeleteProfile removes a profile, if it is there.
	DeleteProfile(id string) error
}

// StoredProfile is a profile as the store keeps it.
type StoredProfile struct {
	ID        string
	Text      string
	JSON      bool // Text is JSON, else YAML
	UpdatedAt time.Time
}

// maxProfiles is how many profiles a tenant may have.
const maxProfiles = 100

// Profiles lists the profiles that the tenant sees, by id: its own and those of
// the daemon's directory. A file that is no profile is there with its Problem.
func (s *Service) Profiles(ctx context.Context, p tenant.Principal) ([]profile.Profile, error) {
	set, err := s.visible(ctx, p, tenant.ProfileRead)
	if err != nil {
		return nil, err
	}
	all := make([]profile.Profile, 0, len(set))
	for _, id := range slices.Sorted(maps.Keys(set)) {
		all = append(all, set[id])
	}
	return all, nil
}

// Profile returns one profile. Kind NotFound.
func (s *Service) Profile(ctx context.Context, p tenant.Principal, id string) (profile.Profile, error) {
	set, err := s.visible(ctx, p, tenant.ProfileRead)
	if err != nil {
		return profile.Profile{}, err
	}
	found, ok := set[id]
	if !ok {
		return profile.Profile{}, errNoProfile(id)
	}
	return found, nil
}

// Render merges a spec over a profile, as a submit would. What the job itself has
// to name, such as the VM, may be missing. Kind NotFound; Unprocessable if the
// result is nothing that a job can have.
func (s *Service) Render(ctx context.Context, p tenant.Principal, id string, spec job.Spec) (profile.Resolved, job.Spec, error) {
	set, err := s.visible(ctx, p, tenant.ProfileRead)
	if err != nil {
		return profile.Resolved{}, job.Spec{}, err
	}
	if _, ok := set[id]; !ok {
		return profile.Resolved{}, job.Spec{}, errNoProfile(id)
	}
	if spec.Profile != "" && spec.Profile != id {
		return profile.Resolved{}, job.Spec{}, fault.Newf(fault.Unprocessable, "HX-PROFILE-030", "leave it out of the spec", "the spec names the profile %.80q, the request %s", spec.Profile, id)
	}
	r, err := set.Resolve(id)
	if err != nil {
		return r, job.Spec{}, err
	}
	if spec.IsWorkflow() {
		merged, err := s.renderWorkflow(set, id, spec)
		return r, merged.Shown(), err
	}
	merged, err := r.Apply(spec)
	if err != nil {
		return r, job.Spec{}, err
	}
	merged = merged.WithDefaults()
	judged := merged
	if judged.VMPath == "" {
		judged.VMPath = "any"
	}
	return r, merged, judged.Validate(s.deps.Now())
}

// renderWorkflow merges the profiles of all steps, one of which must be the one
// that was asked for.
func (s *Service) renderWorkflow(set profile.Set, id string, spec job.Spec) (job.Spec, error) {
	if !slices.ContainsFunc(spec.Plan().Steps, func(step job.Step) bool { return step.Profile == id }) {
		return job.Spec{}, fault.Newf(fault.Unprocessable, "HX-PROFILE-037", "name it in a step of the type export", "no step of the workflow names the profile %s", id)
	}
	all := &profilesNow{files: set, resolved: map[string]profile.Resolved{}}
	merged, err := all.merge(spec)
	if err != nil {
		return job.Spec{}, err
	}
	return merged, merged.Validate(s.deps.Now())
}

// PutProfile stores a profile of the tenant, new or in place of the one with its
// id. Kinds: Invalid, Unprocessable (it, or one that extends it, would not work),
// Conflict (the id is that of a file).
func (s *Service) PutProfile(ctx context.Context, p tenant.Principal, id string, text []byte, contentType string) (profile.Profile, error) {
	scope, err := p.Scope(tenant.ProfileWrite)
	if err != nil {
		return profile.Profile{}, err
	}
	parsed, err := profile.Parse(id, text, contentType)
	if err != nil {
		return profile.Profile{}, err
	}
	files, err := s.files()
	if err != nil {
		return profile.Profile{}, err
	}
	stored := StoredProfile{ID: id, Text: string(text), JSON: job.IsJSON(text, contentType), UpdatedAt: s.deps.Now().UTC().Truncate(time.Microsecond)}
	parsed.Source, parsed.UpdatedAt = profile.SourceTenant, stored.UpdatedAt
	q := request{operation: "put_profile", of: []any{id, stored.Text, stored.JSON}}
	return s.changeProfiles(ctx, p, scope, q, func(own []StoredProfile, answer *profile.Profile) (func(Tx) error, error) {
		set := together(files, own)
		old, replaced := set[id]
		switch {
		case old.Source == profile.SourceFile:
			return nil, readOnly(id)
		case !replaced && len(own) >= maxProfiles:
			return nil, fault.Newf(fault.Exhausted, "HX-PROFILE-031", "delete some", "the tenant has %d profiles", len(own))
		}
		set[id] = parsed
		for _, affected := range append(set.Children(id), id) {
			if _, err := set.Resolve(affected); err != nil {
				return nil, err
			}
		}
		*answer = parsed
		return func(tx Tx) error { return tx.PutProfile(stored) }, nil
	})
}

// changeProfiles judges a change by the tenant's profiles as they are, outside of
// the transaction because reading them all takes its time, and makes it if they
// are still so; else it judges anew.
func (s *Service) changeProfiles(ctx context.Context, p tenant.Principal, scope tenant.Scope, q request,
	judge func(own []StoredProfile, answer *profile.Profile) (func(Tx) error, error),
) (answer profile.Profile, err error) {
	errStale := errors.New("the profiles have changed")
	_, err = once(ctx, s.repeats, p, q, &answer, func(o *tenant.Once) error {
		for {
			seen, err := s.store.Reader(scope).Profiles(ctx)
			if err != nil {
				return err
			}
			change, err := judge(seen, &answer)
			if err != nil {
				return err
			}
			err = s.store.Update(ctx, scope.Under(o), func(tx Tx) error {
				own, err := tx.Profiles()
				if err == nil && !slices.Equal(own, seen) {
					return errStale
				}
				if err != nil {
					return err
				}
				return change(tx)
			})
			if !errors.Is(err, errStale) {
				return err
			}
		}
	})
	return answer, err
}

// DeleteProfile removes a profile of the tenant and returns what it was. Jobs that
// used it keep what they took from it. Kinds: NotFound, Conflict (it is a file, or
// others extend it).
func (s *Service) DeleteProfile(ctx context.Context, p tenant.Principal, id string) (profile.Profile, error) {
	scope, err := p.Scope(tenant.ProfileWrite)
	if err != nil {
		return profile.Profile{}, err
	}
	files, err := s.files()
	if err != nil {
		return profile.Profile{}, err
	}
	return s.changeProfiles(ctx, p, scope, request{operation: "delete_profile", of: id}, func(own []StoredProfile, was *profile.Profile) (func(Tx) error, error) {
		set := together(files, own)
		*was = set[id]
		switch was.Source {
		case "":
			return nil, errNoProfile(id)
		case profile.SourceFile:
			return nil, readOnly(id)
		}
		if children := set.Children(id); len(children) > 0 {
			return nil, fault.Newf(fault.Conflict, "HX-PROFILE-033", "change these first", "the profile %s is extended by %s", id, strings.Join(children, ", "))
		}
		return func(tx Tx) error { return tx.DeleteProfile(id) }, nil
	})
}

// visible returns the profiles that the principal sees.
func (s *Service) visible(ctx context.Context, p tenant.Principal, need tenant.Permission) (profile.Set, error) {
	scope, err := p.Scope(need)
	if err != nil {
		return nil, err
	}
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	own, err := s.store.Reader(scope).Profiles(ctx)
	if err != nil {
		return nil, err
	}
	return together(files, own), nil
}

func (s *Service) files() (profile.Set, error) {
	if s.deps.Files == nil {
		return profile.Set{}, nil
	}
	return s.deps.Files.Load()
}

// together adds a tenant's own profiles to the files. A file that came later under
// an id of theirs does not change what their jobs do: theirs counts.
func together(files profile.Set, own []StoredProfile) profile.Set {
	set := maps.Clone(files)
	for i := range own {
		set[own[i].ID] = own[i].parse()
	}
	return set
}

// chain is together with only those of the tenant's profiles read that one needs:
// of the others there is nothing but the id.
func chain(files profile.Set, own []StoredProfile, id string) profile.Set {
	set := maps.Clone(files)
	unread := make(map[string]*StoredProfile, len(own))
	for i := range own {
		unread[own[i].ID] = &own[i]
		set[own[i].ID] = profile.Profile{ID: own[i].ID}
	}
	for seen := map[string]bool{}; id != "" && !seen[id]; id = set[id].Extends {
		seen[id] = true
		if o := unread[id]; o != nil {
			set[id] = o.parse()
		}
	}
	return set
}

func (o *StoredProfile) parse() profile.Profile {
	contentType := "application/yaml"
	if o.JSON {
		contentType = "application/json"
	}
	p, err := profile.Parse(o.ID, []byte(o.Text), contentType)
	if err != nil { // put by a version with other rules
		p = profile.Profile{ID: o.ID, Text: o.Text, Problem: fault.As(err).Msg}
	}
	p.Source, p.UpdatedAt = profile.SourceTenant, o.UpdatedAt
	return p
}

func errNoProfile(id string) error {
	return fault.Newf(fault.NotFound, "HX-PROFILE-034", "list the profiles to see their ids", "there is no profile %.80q", id)
}

func readOnly(id string) error {
	return fault.Newf(fault.Conflict, "HX-PROFILE-032", "choose another id, and extend this one if need be", "the profile %s is a file of the daemon, which the API does not change", id)
}

// profilesNow are the profiles of one submit: looked up when a spec names one.
type profilesNow struct {
	load     func() (profile.Set, []StoredProfile, error)
	files    profile.Set // nil: not looked up yet
	own      []StoredProfile
	resolved map[string]profile.Resolved
}

func (s *Service) profilesOf(ctx context.Context, scope tenant.Scope) *profilesNow {
	return &profilesNow{
		load: func() (profile.Set, []StoredProfile, error) {
			files, err := s.files()
			if err != nil {
				return nil, nil, err
			}
			own, err := s.store.Reader(scope).Profiles(ctx)
			return files, own, err
		},
		resolved: map[string]profile.Resolved{},
	}
}

// merge returns the spec over the profile that it names, over the defaults. In a
// workflow it is the steps of the type export that name profiles.
func (n *profilesNow) merge(spec job.Spec) (job.Spec, error) {
	if spec.IsWorkflow() {
		if spec.Profile != "" || spec.ProfileDigest != "" {
			return spec, fault.New(fault.Unprocessable, "HX-PROFILE-036", "a workflow as a whole has no profile", "name it in the steps of the type export")
		}
		merged, err := spec.MapExports(n.mergeStep)
		return merged.WithDefaults(), err
	}
	r, err := n.resolve(spec.Profile, spec.ProfileDigest)
	if r == nil || err != nil {
		return spec.WithDefaults(), err
	}
	merged, err := r.Apply(spec)
	return merged.WithDefaults(), err
}

func (n *profilesNow) mergeStep(step job.Step) (job.Step, error) {
	r, err := n.resolve(step.Profile, step.ProfileDigest)
	if r == nil || err != nil {
		return step, err
	}
	return r.ApplyStep(step)
}

// resolve looks a profile up; nil if none is named.
func (n *profilesNow) resolve(id, digest string) (*profile.Resolved, error) {
	if id == "" {
		if digest != "" {
			return nil, fault.New(fault.Unprocessable, "HX-PROFILE-035", "profile_digest is given without profile", "name the profile, or leave both out")
		}
		return nil, nil //nolint:nilnil // none is named
	}
	r, ok := n.resolved[id]
	if !ok {
		var err error
		if n.files == nil {
			if n.files, n.own, err = n.load(); err != nil {
				return nil, err
			}
		}
		if r, err = chain(n.files, n.own, id).Resolve(id); err != nil {
			return nil, err
		}
		n.resolved[id] = r
	}
	return &r, nil
}
