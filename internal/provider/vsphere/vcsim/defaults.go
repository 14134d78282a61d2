package vcsim

import "strings"

// DefaultInventory is what a simulated vCenter holds if nothing else is said:
// one machine for each case that an export has to deal with.
func DefaultInventory() []VM {
	const mib, gib = 1 << 20, 1 << 30
	small := []Disk{{Size: 16 * mib, Fill: system(7)}}
	return []VM{
		{Path: "web-01", On: true, CBT: true, CPUs: 2, MemoryMB: 1024, Disks: []Disk{
			{Size: 96 * mib, Fill: bootable(1)},
			{Size: 256 * mib, Fill: system(2)},
		}},
		{Path: "production-db", Datastore: "vmfs-02", Host: "esxi-02.lab.test", CPUs: 4, MemoryMB: 8192, Disks: []Disk{
			{Size: 8 * gib, Fill: islands(3, 5, 8*mib)},
			{Size: 64 * mib, Fill: random(4), Thick: true},
			{Size: gib + 512, Fill: islands(5, 3, 4*mib), Controller: lsilogic},
			{Size: gib},
		}},
		{Path: "batch-01", Disks: []Disk{{Size: 32 * mib, Fill: system(6)}}},
		{Path: "Linux/efi-01", On: true, EFI: true, Disks: []Disk{{Size: 48 * mib, Fill: system(8), Controller: "nvme"}}},
		{Path: "Linux/sata-01", Disks: []Disk{{Size: 16*mib + 512, Fill: system(9), Controller: "sata"}}},
		{Path: "Team A/app", On: true, Host: "esxi-03.lab.test", Disks: small},
		{Path: "Team B/app", Disks: small},
		{Path: "Odd/app%2fdb", Disks: small},
		{Path: "Odd/größe-データ-01", Disks: small},
		{Path: "Odd/100%25 [test] 'quoted' & <odd>", Disks: small},
		{Path: "Odd/" + strings.Repeat("long-name-", 20), Disks: small},
		{Path: "Blocked/raw-mapped", On: true, Disks: []Disk{small[0], {Size: 16 * mib, RDM: true}}},
		{Path: "Blocked/independent", On: true, Disks: []Disk{small[0], {Size: 16 * mib, Mode: "independent_persistent", Fill: system(10)}}},
		{Path: "Blocked/object-storage", On: true, Datastore: "vvol-01", Disks: small},
	}
}
