/** Why an image cannot be used. */
export type ImageErrorCode =
  /** Neither an OCI image layout nor a `docker save` archive, or one that is not complete. */
  | 'not-an-image'
  /** Its contents are not what their digests say. */
  | 'corrupt'
  /** It asks for what no honest image needs: paths that lead out, sizes beyond every bound. */
  | 'refused'
  /** A compression, media type or tar feature that is not known here. */
  | 'unsupported'
  /** No image in it, or several, for what was asked. */
  | 'no-match';

/** An image was refused; the message says which part of it. */
export class ImageError extends Error {
  override readonly name = 'ImageError';
  readonly code: ImageErrorCode;

  constructor(code: ImageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
