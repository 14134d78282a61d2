// Package parity holds the doors of the daemon together. Its tests drive every use
// case through each of them, in every role and by a stranger, and compare results,
// kinds of errors and their codes. A new door adds a driver; a new operation adds a
// row to the matrix and its scenarios.
package parity
