package vcsim

import "strings"

// DefaultInventory is what a simulated vCenter holds if nothing else is said:
// one machine for each case that an export has to deal with.
func DefaultInventory() []VM {
	const mib, gib = 1 << 20, 1 << 30
	small := []Disk{{Size: 16 * mib, Fill: mixed(7, 40)}}
	return []VM{
		{Path: "web-01", On: true, CBT: true, CPUs: 2, MemoryMB: 1024, Disks: []Disk{
			{Size: 96 * mib, Fill: bootable(1, 30)},
			{Size: 256 * mib, Fill: mixed(2, 60)},
		}},
		{Path: "production-db", Datastore: "vmfs-02", Host: "esxi-02.lab.test", CPUs: 4, MemoryMB: 8192, Disks: []Disk{
			{Size: 8 * gib, Fill: mixed(3, 1)},
			{Size: 64 * mib, Fill: random(4), Thick: true},
			{Size: gib + 512, Fill: mixed(5, 2), Controller: "lsilogic"},
			{Size: gib},
		}},
		{Path: "batch-01", Disks: []Disk{{Size: 32 * mib, Fill: mixed(6, 50)}}},
		{Path: "Linux/efi-01", On: true, EFI: true, Disks: []Disk{{Size: 48 * mib, Fill: mixed(8, 40), Controller: "nvme"}}},
		{Path: "Linux/sata-01", Disks: []Disk{{Size: 16*mib + 512, Fill: mixed(9, 80), Controller: "sata"}}},
		{Path: "Team A/app", On: true, Host: "esxi-03.lab.test", Disks: small},
		{Path: "Team B/app", Disks: small},
		{Path: "Odd/app%2fdb", Disks: small},
		{Path: "Odd/größe-データ-01", Disks: small},
		{Path: "Odd/100%25 [test] 'quoted' & <odd>", Disks: small},
		{Path: "Odd/" + strings.Repeat("long-name-", 20), Disks: small},
		{Path: "Blocked/raw-mapped", On: true, Disks: []Disk{small[0], {Size: 16 * mib, RDM: true}}},
		{Path: "Blocked/independent", On: true, Disks: []Disk{small[0], {Size: 16 * mib, Mode: "independent_persistent", Fill: mixed(10, 50)}}},
		{Path: "Blocked/object-storage", On: true, Datastore: "vvol-01", Disks: small},
	}
}
