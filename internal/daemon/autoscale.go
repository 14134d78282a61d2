package daemon

import (
	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/dispatch"
)

// Scale lets the number of workers follow the load.
type Scale struct {
	Bounds  admission.Bounds
	Short   func() admission.Resource         // what the machine runs short of
	Changed func(from, to int, reason string) // observes
}

// scale is what the configuration says.
func (c *Config) scale(changed func(from, to int, reason string)) Scale {
	if c.MaxWorkers == 0 {
		return Scale{}
	}
	return Scale{
		Bounds:  admission.Bounds{Min: c.MinWorkers, Max: c.MaxWorkers},
		Short:   newSaturation(c.Output.Roots).short,
		Changed: changed,
	}
}

func (s Scale) autoscaler(d *dispatch.Dispatcher, b dispatch.Backlog) *dispatch.Autoscaler {
	if !s.Bounds.Scales() {
		return nil
	}
	return dispatch.NewAutoscaler(d, b, dispatch.AutoscaleOptions{Bounds: s.Bounds, Short: s.Short, Changed: s.Changed})
}
