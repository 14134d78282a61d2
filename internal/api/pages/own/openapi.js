// The page of the OpenAPI document that this daemon serves. Nothing is loaded from
// elsewhere, and a key that is entered is forgotten with the page.
SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#page",
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,
  persistAuthorization: false,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
});
