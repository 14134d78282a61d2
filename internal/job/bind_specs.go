package job

// bindSpecs fills a list of at most MaxBatch jobs.
func (b *binder) bindSpecs(n *node, path string, specs *[]Spec) {
	if !b.expect(n, path, kindList) {
		return
	}
	if len(n.items) > MaxBatch {
		b.problemf(n.pos, path, "holds %d jobs; %d are allowed", len(n.items), MaxBatch)
		return
	}
	*specs = make([]Spec, len(n.items))
	for i, item := range n.items {
		b.bindSpec(item, path+"["+itoa(i)+"]", &(*specs)[i])
	}
}
