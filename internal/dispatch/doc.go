// Package dispatch runs the jobs: it claims them by priority, keeps their
// leases alive, hands them to a Runner in a pool of workers and settles
// them by what comes back.
package dispatch
