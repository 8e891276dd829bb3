// Swagger UI on this service's own document. A credential that is typed in is kept by the page alone, until it is closed.
SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#reference",
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  filter: true,
  tryItOutEnabled: true,
  persistAuthorization: false,
  validatorUrl: null,
});
