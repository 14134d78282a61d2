//go:build e2e

package e2e

// child takes over the process if it is one that a test started.
func child() {}
