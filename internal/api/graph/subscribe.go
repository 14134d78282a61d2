package graph

import (
	"bytes"
	"context"
	"iter"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// run executes an operation of one or many answers. The channel is closed after
// the last one, or when ctx is done: read it to its end. Nothing is kept for a
// reader that is slow: what it did not take yet is asked for when it does.
func (g *Door) run(ctx context.Context, op *graphql.OperationContext) <-chan *graphql.Response {
	out := make(chan *graphql.Response)
	go func() {
		defer close(out)
		c := callOf(ctx)
		defer c.sources.Wait()
		var responses graphql.ResponseHandler
		err := fault.Protect(func() error {
			responses, ctx = g.exec.DispatchOperation(ctx, op)
			return nil
		})
		for err == nil {
			response := g.next(ctx, responses)
			if response == nil {
				break
			}
			response.Data = bytes.Clone(response.Data) // the executor uses its buffer again for the next
			select {
			case out <- response:
			case <-ctx.Done():
				return
			}
		}
		c.sources.Wait()
		if err != nil {
			c.failed = err
		}
		if c.failed == nil || ctx.Err() != nil {
			return
		}
		select {
		case out <- &graphql.Response{Errors: gqlerror.List{g.present(ctx, c.failed)}}:
		case <-ctx.Done():
		}
	}()
	return out
}

// next is the next answer; nil after the last one. A panic is an answer and the
// last one.
func (g *Door) next(ctx context.Context, responses graphql.ResponseHandler) (response *graphql.Response) {
	defer func() {
		if v := recover(); v != nil {
			callOf(ctx).failed = g.recovered(ctx, v)
			response = nil
		}
	}()
	return responses(ctx)
}

// source lets a subscription's resolver return what a service call yields. An
// error ends it and is told after the last answer.
func source[From, To any](ctx context.Context, all iter.Seq2[From, error], of func(From) (To, bool)) <-chan To {
	out := make(chan To)
	c := callOf(ctx)
	c.sources.Go(func() {
		defer close(out)
		err := fault.Protect(func() error { return pour(ctx, out, all, of) })
		if err != nil && ctx.Err() == nil {
			c.failed = resolved{err}
		}
	})
	return out
}

// pour sends what is wanted of all, until ctx is done.
func pour[From, To any](ctx context.Context, out chan<- To, all iter.Seq2[From, error], of func(From) (To, bool)) error {
	for v, err := range all {
		if err != nil {
			return err
		}
		to, wanted := of(v)
		if !wanted {
			continue
		}
		select {
		case out <- to:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// ended tells the cause of a stream's end, if it is one for the client: the
// credential is no longer good.
func ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	if fault.Is(cause, fault.Unauthenticated) || fault.Is(cause, fault.Denied) {
		return cause
	}
	return nil
}
