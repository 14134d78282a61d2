// Package vcsim is a simulated vCenter whose virtual machines have real disks:
// govmomi's simulator with what it lacks put on top, so that any vSphere client
// can export from it and the result can be compared with the source.
//
// What it adds: disks with content; snapshots that freeze it while the guest
// writes on (GuestWrite); changed block tracking; NFC leases that serve
// streamOptimized VMDK from a data plane of their own, with time-out, manifest
// and a limit of streams per host; /folder downloads that need the session and
// honour Range; OVF descriptors; sessions that expire; and faults that can be
// injected at run time (Faults).
//
// # What it models, and what nobody verified on a real ESXi
//
// The behaviour is taken from the vSphere API reference, from the sources of
// govmomi, virt-v2v and others, and from public reports; no vCenter was at
// hand. Models in the strict sense, where a real system may differ:
//
//   - An open lease forbids to power its machine on, to take snapshots of it, or
//     to remove the snapshot it exports: TaskInProgress.
//   - A lease belongs to its session: after the session has ended nobody can
//     renew it, and it times out.
//   - Too many NFC streams of a host are answered with HTTP 503 and hostd's NFC
//     message. Real hosts count buffer memory, not streams.
//   - /folder answers 500 for the flat file of a running machine without a
//     snapshot and for datastores that are not VMFS; a change of the chain cuts
//     the readers of the base file.
//   - The data of deltas cannot be downloaded, only that of the base.
//   - Leases leave out raw device mappings, those on a snapshot also independent
//     disks.
//   - Changed block tracking has the granularity of 64 KiB and never errs.
//   - Tasks end at once; nothing stuns a guest; revert is refused.
package vcsim
