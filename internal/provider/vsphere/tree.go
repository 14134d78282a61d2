package vsphere

import (
	"iter"

	"github.com/vmware/govmomi/vim25/types"
)

// snapshots yields the snapshots of a VM, parents before children.
func snapshots(info *types.VirtualMachineSnapshotInfo) iter.Seq[*types.VirtualMachineSnapshotTree] {
	return func(yield func(*types.VirtualMachineSnapshotTree) bool) {
		if info == nil {
			return
		}
		pending := [][]types.VirtualMachineSnapshotTree{info.RootSnapshotList}
		for len(pending) > 0 {
			top := pending[len(pending)-1]
			if len(top) == 0 {
				pending = pending[:len(pending)-1]
				continue
			}
			pending[len(pending)-1] = top[1:]
			if !yield(&top[0]) {
				return
			}
			pending = append(pending, top[0].ChildSnapshotList)
		}
	}
}

// depth is the number of snapshots in the longest chain.
func depth(list []types.VirtualMachineSnapshotTree, level int) int {
	deepest := level
	for i := range list {
		deepest = max(deepest, depth(list[i].ChildSnapshotList, level+1))
	}
	return deepest
}
