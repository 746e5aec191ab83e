/**
 * Images on the host's side: what "docker save" and OCI tools write, and each layer of it as a disk
 * that a guest can mount and check.
 */
export { type ImageProcess, type MergedProcess, mergeProcess } from './config.ts';
export { shortDigest } from './digest.ts';
export { ImageError, type ImageErrorCode } from './errors.ts';
export { type Image, type ImageChoice, type ImageLayer, openImage } from './image.ts';
export { inheriting } from './inheritance.ts';
export { type CachedLayer, defaultCache, LayerCache } from './layer-cache.ts';
export { type Platform, parsePlatform } from './platform.ts';
export { type ImageUser, resolveImageUser } from './users.ts';
