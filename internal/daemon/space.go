package daemon

import "golang.org/x/sys/unix"

// free tells how many bytes are free below the state directory, and on the fullest
// file system that outputs go to.
func (c *Config) free() map[string]int64 {
	all := map[string]int64{}
	look := func(purpose, path string) {
		var fs unix.Statfs_t
		if err := unix.Statfs(path, &fs); err != nil {
			return // a root that no job has used yet
		}
		free := int64(fs.Bavail) * fs.Bsize
		if least, seen := all[purpose]; !seen || free < least {
			all[purpose] = free
		}
	}
	look("state", c.StateDir)
	for _, root := range c.Output.Roots {
		look("output", root)
	}
	return all
}
