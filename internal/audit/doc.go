// Package audit makes the event log provable: a Merkle tree over the events in
// the order of their places, hashed as RFC 9162 says, and signed checkpoints of it.
// It knows how an entry becomes a leaf, how proofs are made and checked, and what
// an auditor reads. It knows no database.
package audit
