package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/profile"
)

// profileFlags are those of profiles and of what only a profile or a job says.
func profileFlags(cmd *cobra.Command, e *export) {
	f := cmd.Flags()
	f.StringVarP(&e.spec.Profile, "profile", "p", "", "named defaults (ID.yaml of --profile-dir or "+profile.DefaultDir+"); flags given beside it win")
	f.StringVar(&e.profileDir, "profile-dir", "", "directory with profiles, looked at before "+profile.DefaultDir)
	f.Var((*rateFlag)(&e.spec.BandwidthLimit), "bandwidth-limit", "bytes read from vSphere per second and VM: 50MB, 50MiB, a number, unlimited")
	f.StringArrayVar(&e.spec.BandwidthWindows, "bandwidth-window", nil, `hours with another limit, e.g. "Mon-Fri 08:00-18:00 = 50MB"; repeat for several`)
}

// rateFlag is a bandwidth in a flag; it is judged with the job.
type rateFlag job.Bandwidth

func (r *rateFlag) String() string     { return string(*r) }
func (r *rateFlag) Set(s string) error { *r = rateFlag(s); return nil }
func (r *rateFlag) Type() string       { return "RATE" }

func (e *export) profileDirs() []string {
	if e.profileDir == "" {
		return []string{profile.DefaultDir}
	}
	return []string{e.profileDir, profile.DefaultDir}
}

// leaveOpen clears what only the defaults of flags said, so that the profile says
// it. Where no daemon does it, the profile's output_path takes the place of an
// --output that was not given.
func (e *export) leaveOpen() error {
	if e.profileDir != "" && e.conn.server != "" {
		return &usageError{"--profile-dir goes without --server: a daemon has its own profiles"}
	}
	if e.spec.Profile == "" {
		return nil
	}
	for flag, value := range map[string]*string{
		"format": &e.spec.Format, "verify": &e.spec.Verify, "transport": &e.spec.Transport, "compression": &e.compression,
	} {
		if !e.given(flag) {
			*value = ""
		}
	}
	if e.conn.server != "" {
		return nil
	}
	set, err := profile.NewDirs(e.profileDirs()...).Load()
	if err != nil {
		return err
	}
	r, err := set.Resolve(e.spec.Profile)
	if err != nil {
		return err
	}
	path := r.Defaults.OutputPath
	if path == "" || e.given("output") {
		return nil
	}
	if !filepath.IsAbs(path) {
		return fault.Newf(fault.Unprocessable, "HX-CLI-006", "give --output", "the output_path %q of the profile %s is below a root of the daemon, and there is none here", path, e.spec.Profile)
	}
	e.output = path
	return nil
}
