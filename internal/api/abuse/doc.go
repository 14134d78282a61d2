// Package abuse holds what the daemon must withstand: a table of hostile calls
// against all doors on one port, each with the one right answer, and what must be
// so after them: the daemon serves, its log is whole, its memory is bounded and
// nothing is left running.
package abuse
