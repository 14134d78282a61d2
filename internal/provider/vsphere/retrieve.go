package vsphere

import (
	"context"
	"fmt"

	vimfault "github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// walk asks for the properties of every object below the root folder whose type
// is in wanted, in one query. A session that was renewed meanwhile takes the
// view with it: then the query is made once more.
func walk(ctx context.Context, c *vim25.Client, wanted []types.PropertySpec) ([]types.ObjectContent, error) {
	objects, err := walkOnce(ctx, c, wanted)
	if vimfault.Is(err, &types.ManagedObjectNotFound{}) {
		objects, err = walkOnce(ctx, c, wanted)
	}
	return objects, classify(ctx, err, "read the inventory")
}

func walkOnce(ctx context.Context, c *vim25.Client, wanted []types.PropertySpec) ([]types.ObjectContent, error) {
	kinds := make([]string, len(wanted))
	for i, w := range wanted {
		kinds[i] = w.Type
	}
	view, err := methods.CreateContainerView(ctx, c, &types.CreateContainerView{
		This:      *c.ServiceContent.ViewManager,
		Container: c.ServiceContent.RootFolder,
		Type:      kinds,
		Recursive: true,
	})
	if err != nil {
		return nil, err
	}
	objects, err := mo.RetrievePropertiesEx(ctx, c, types.RetrievePropertiesEx{
		This: c.ServiceContent.PropertyCollector,
		SpecSet: []types.PropertyFilterSpec{{
			PropSet: wanted,
			ObjectSet: []types.ObjectSpec{{
				Obj:       view.Returnval,
				Skip:      new(true),
				SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: "ContainerView", Path: "view"}},
			}},
		}},
	})
	if err != nil {
		return nil, err
	}
	_, err = methods.DestroyView(ctx, c, &types.DestroyView{This: view.Returnval})
	return objects, err
}

// read asks for properties of known objects of one type; objects that are gone
// are left out.
func read[T any](ctx context.Context, c *vim25.Client, refs []types.ManagedObjectReference, paths ...string) ([]T, error) {
	set := make([]types.ObjectSpec, len(refs))
	for i, ref := range refs {
		set[i] = types.ObjectSpec{Obj: ref}
	}
	objects, err := mo.RetrievePropertiesEx(ctx, c, types.RetrievePropertiesEx{
		This: c.ServiceContent.PropertyCollector,
		SpecSet: []types.PropertyFilterSpec{{
			PropSet:   []types.PropertySpec{{Type: refs[0].Type, PathSet: paths}},
			ObjectSet: set,
			// A VM deleted meanwhile must not fail the others.
			ReportMissingObjectsInResults: new(len(refs) > 1),
		}},
	})
	if err != nil {
		return nil, err
	}
	return decode[T](objects)
}

// readOne is read for one object; one that is gone is ManagedObjectNotFound.
func readOne[T any](ctx context.Context, c *vim25.Client, ref types.ManagedObjectReference, paths ...string) (T, error) {
	found, err := read[T](ctx, c, []types.ManagedObjectReference{ref}, paths...)
	if err != nil {
		return *new(T), err
	}
	if len(found) != 1 {
		return *new(T), fmt.Errorf("vCenter answered with %d objects for %s", len(found), ref)
	}
	return found[0], nil
}

// decode turns what a query returned into managed objects. A property that the
// account may not see is left empty: a missing privilege on one VM must not
// hide the others.
func decode[T any](objects []types.ObjectContent) ([]T, error) {
	list := make([]T, 0, len(objects))
	for _, o := range objects {
		if len(o.PropSet) == 0 {
			continue
		}
		o.MissingSet = nil
		v, err := mo.ObjectContentToType(o)
		if err != nil {
			return nil, err
		}
		t, ok := v.(T)
		if !ok {
			return nil, fmt.Errorf("vCenter answered with a %s", o.Obj.Type)
		}
		list = append(list, t)
	}
	return list, nil
}
