// A file of its own, so that the page needs no inline script (see _headers).
SwaggerUIBundle({
  dom_id: '#api',
  url: '/openapi.json',
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  persistAuthorization: true,
  validatorUrl: null, // or the document would be sent to a server of Swagger's
});
