// The GraphQL explorer. The key is kept in this variable only: it is gone with the
// page. Subscriptions come as server-sent events.
"use strict";
let key = "";

function send(params, accept, given) {
  const headers = { "Content-Type": "application/json", Accept: accept, ...given };
  if (key) headers.Authorization = "Bearer " + key;
  return fetch("../graphql", {
    method: "POST", headers, credentials: "same-origin",
    body: JSON.stringify({ query: params.query, operationName: params.operationName || "", variables: params.variables || {} }),
  });
}

async function* follow(response) {
  const reader = response.body.getReader();
  const text = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += text.decode(value, { stream: true });
      for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
        const message = rest.slice(0, end);
        if (message.startsWith("event: complete")) return;
        const data = message.indexOf("\ndata: ");
        if (message.startsWith("event: next") && data >= 0) yield JSON.parse(message.slice(data + 7));
      }
    }
  } finally {
    reader.cancel();
  }
}

function subscribes(params, options) {
  const document = options && options.documentAST;
  return !!document && document.definitions.some((d) =>
    d.kind === "OperationDefinition" && d.operation === "subscription" &&
    (!params.operationName || (d.name && d.name.value === params.operationName)));
}

async function fetcher(params, options) {
  const given = (options && options.headers) || {};
  if (!subscribes(params, options)) return (await send(params, "application/json", given)).json();
  const response = await send(params, "text/event-stream", given);
  if (!(response.headers.get("Content-Type") || "").startsWith("text/event-stream")) return response.json();
  return follow(response);
}

const root = ReactDOM.createRoot(document.getElementById("page"));
let shown = 0;
function show() {
  root.render(React.createElement(GraphiQL, {
    key: ++shown, fetcher, shouldPersistHeaders: false, isHeadersEditorEnabled: true,
    defaultQuery: "{\n  status { version workers { busy size } }\n  jobs(limit: 10) { id vmPath status progress }\n}\n",
  }));
}
document.getElementById("who").addEventListener("submit", (event) => {
  event.preventDefault();
  key = document.getElementById("key").value.trim();
  show(); // asks for the schema again
});
show();
